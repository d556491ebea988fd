//! Opening and closing windows, and memory for their pictures.

use super::*;

impl Desk {
    pub(super) fn open(
        &mut self,
        client: ClientId,
        id: WindowId,
        title: Title,
        size: Size,
        look: Look,
        keepsake: Keepsake,
    ) -> Result<(), &'static str> {
        let is_desktop = self.client(client).is_some_and(|client| client.is_desktop);
        if look.kind != Kind::Normal && !is_desktop {
            return Err("only the desktop may have such a window");
        }
        if self
            .windows
            .iter()
            .any(|window| window.client == client && window.id == id)
        {
            return Err("there is a window of this number already");
        }
        if self
            .windows
            .iter()
            .filter(|window| window.client == client)
            .count()
            >= MAX_WINDOWS
        {
            return Err("this program has as many windows as a program may have");
        }
        if size.width == 0 || size.height == 0 {
            return Err("a window needs at least one pixel");
        }
        let kept = self
            .kept
            .iter()
            .position(|kept| kept.keepsake == keepsake && keepsake != Keepsake::default());
        let kept = kept.map(|at| self.kept.swap_remove(at));
        let size = place::allowed(size, &look);
        let floating = match &kept {
            Some(kept) => kept.place.floating,
            None => self.first_place(size, &look),
        };
        let extent = kept
            .as_ref()
            .map_or(Extent::Floating, |kept| kept.place.extent);
        let mut place = Place {
            content: floating,
            floating,
            extent,
            minimised: kept.as_ref().is_some_and(|kept| kept.place.minimised),
        };
        let area = self.area(&look, &floating);
        place.content = place.content_for(&look, extent, &area);
        let key = self.next_key;
        self.next_key = self.next_key.wrapping_add(1).max(1);
        let window = Window {
            key,
            client,
            id,
            title,
            look,
            place,
            keepsake: kept
                .as_ref()
                .map_or_else(|| Keepsake((self.next_keepsake)()), |kept| kept.keepsake),
            pointer: Pointer::Arrow,
            shown: None,
            waiting: None,
            configuration: 0,
            size: Size::default(),
            pictures: PictureKey(0),
            wants_size: None,
            input: None,
            kept_order: kept.as_ref().map(|kept| kept.order),
        };
        self.windows.push(window);
        let at = self.windows.len() - 1;
        let at = self.lift(at);
        let can_focus = matches!(look.kind, Kind::Normal | Kind::Menu) && !place.minimised;
        if can_focus && kept.as_ref().is_none_or(|kept| kept.focused) {
            self.set_focus(Some(key));
        }
        if look.kind == Kind::Panel {
            self.lay_out_again();
        }
        if let Err(why) = self.configure(at) {
            if let Some(at) = self.index(key) {
                self.remove(at);
            }
            return Err(why);
        }
        Ok(())
    }

    /// Where a new window goes: in the middle, each a little further down, and whole if there is room.
    pub(super) fn first_place(&mut self, size: Size, look: &Look) -> Rect {
        let (width, height) = (i32::from(size.width), i32::from(size.height));
        if look.kind != Kind::Normal {
            return Rect::new(0, 0, width, height);
        }
        let area = self.area(look, &Rect::EMPTY);
        let work = area.work();
        let step = self.cascade * (place::TITLE_PX + 6);
        self.cascade = (self.cascade + 1) % 6;
        let fitting = |start: i32, room: i32| start.min(room - place::EDGE_PX).max(8);
        let left =
            work.left + fitting((work.width() - width) / 2 - 60 + step, work.width() - width);
        let top = work.top
            + fitting(
                (work.height() - height) / 2 - 60 + step,
                work.height() - height,
            );
        let top = top.max(work.top + place::TITLE_PX + 1);
        place::reachable(&Rect::new(left, top, width, height), &area)
    }

    /// Tells a window its size, with new pictures, unless it still has to paint the last ones.
    pub(crate) fn configure(&mut self, at: usize) -> Result<(), &'static str> {
        let Some(window) = self.windows.get_mut(at) else {
            return Ok(());
        };
        let side = |length: i32| u16::try_from(length.max(1)).unwrap_or(u16::MAX);
        let size = Size {
            width: side(window.place.content.width()),
            height: side(window.place.content.height()),
        };
        let is_behind = window.configuration != 0
            && window
                .shown
                .is_none_or(|shown| shown.pictures != window.pictures);
        if is_behind {
            window.wants_size = Some(size);
            return Ok(());
        }
        window.wants_size = None;
        if window.configuration != 0 && window.size == size {
            return Ok(());
        }
        let client_id = window.client;
        let old_bytes = if window.configuration == 0 {
            0
        } else {
            window.size.picture_bytes()
        };
        let more = size.picture_bytes() * u64::from(BUFFERS);
        let Some(client) = self.client(client_id) else {
            return Ok(());
        };
        // The old pictures stay until the new ones are painted.
        if client.picture_bytes + more > MAX_PICTURE_BYTES + old_bytes * u64::from(BUFFERS) {
            return Err("its pictures would take more memory than one program may have for all");
        }
        client.picture_bytes += more;
        let pictures = PictureKey(self.next_pictures);
        self.next_pictures += 1;
        let Some(window) = self.windows.get_mut(at) else {
            return Ok(());
        };
        window.configuration = window.configuration.wrapping_add(1).max(1);
        window.size = size;
        window.pictures = pictures;
        window.waiting = None;
        let whole = window.place.extent == Extent::FullScreen && !window.look.alpha;
        let event = Event::Configured {
            window: window.id,
            configuration: window.configuration,
            size,
            extent: window.place.extent,
            keepsake: window.keepsake,
        };
        self.effects.push(Effect::MakePictures {
            client: client_id,
            pictures,
            size,
            whole,
            event,
        });
        Ok(())
    }

    /// There is no memory for these pictures: their window is refused, or keeps its size.
    pub fn no_memory(&mut self, pictures: PictureKey) {
        let Some(at) = self
            .windows
            .iter()
            .position(|window| window.pictures == pictures)
        else {
            return;
        };
        let Some((client, id)) = self
            .windows
            .get(at)
            .map(|window| (window.client, window.id))
        else {
            return;
        };
        self.refuse(
            client,
            id,
            format_args!("there is not enough memory for the window's pictures"),
        );
        self.remove(at);
    }

    pub(super) fn release_pictures(&mut self, client: ClientId, pictures: PictureKey, size: Size) {
        if let Some(client) = self.client(client) {
            client.picture_bytes = client
                .picture_bytes
                .saturating_sub(size.picture_bytes() * u64::from(BUFFERS));
        }
        self.effects.push(Effect::DropPictures(pictures));
    }

    pub(crate) fn remove(&mut self, at: usize) {
        if at >= self.windows.len() {
            return;
        }
        let window = self.windows.remove(at);
        if window.shown.is_some() && !window.place.minimised {
            self.damage_part(&window.place.touched(&window.look));
        }
        if window.configuration != 0 {
            self.release_pictures(window.client, window.pictures, window.size);
        }
        if let Some(shown) = window.shown
            && shown.pictures != window.pictures
        {
            self.release_pictures(window.client, shown.pictures, shown.size);
        }
        self.steering.forget(window.key);
        self.keep_changed = true;
        if self.focus == Some(window.key) {
            self.focus = None;
            self.focus_topmost();
        }
        self.tell_listeners(&Event::Unlisted { window: window.key });
        if window.look.kind == Kind::Panel {
            self.lay_out_again();
        }
        self.update_pointer_picture();
    }
}
