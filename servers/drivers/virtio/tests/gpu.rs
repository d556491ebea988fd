//! The graphics driver against a model of the device.

mod model;

use std::sync::{Arc, Mutex};

use model::{Defect, Model};
use testkit::Sim;
use virtio::gpu::{self, GpuError, Mode, Pixels, Rect, Work};
use virtio::hardware::Space;

/// What the device was asked: the type, and the words behind the header.
type Asked = Vec<(u32, Vec<u32>)>;

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes
        .chunks_exact(4)
        .map(|word| u32::from_le_bytes(word.try_into().expect("4")))
        .collect()
}

fn device() -> Model {
    let model = Model::new(Defect::None, &[64, 16]);
    let mut own = vec![0; 16];
    own[8] = 2;
    model.state().own = Some(own);
    model
}

/// Answers all that waits, as a device with two outputs would; what it was asked.
fn serve(model: &Model, refuse: Option<u32>) -> Asked {
    let mut asked = Asked::new();
    loop {
        let before = asked.len();
        for queue in 0..2 {
            while let Some(chain) = model.take(queue) {
                let [(request, len, false), (answer, room, true)] = chain.parts[..] else {
                    panic!("a request and an answer");
                };
                let request = words(&model.read(request, len as usize));
                assert!(request[1..6].iter().all(|word| *word == 0));
                asked.push((request[0], request[6..].to_vec()));
                if queue == 1 {
                    model.give(1, chain.head.into(), 0);
                    continue;
                }
                let mut said = vec![0_u32; 6];
                said[0] = match request[0] {
                    sort if refuse == Some(sort) => 0x1205,
                    0x100 => {
                        said.extend([0, 0, 1280, 800, 1, 0, 1280, 0, 640, 480, 0, 0]);
                        said.resize(6 + 16 * 6, 0);
                        0x1101
                    }
                    0x10a => {
                        said.extend([8, 0, 0x0403_0201, 0x0807_0605, 9, 9]);
                        0x1104
                    }
                    _ => 0x1100,
                };
                let bytes: Vec<u8> = said.iter().flat_map(|word| word.to_le_bytes()).collect();
                assert!(bytes.len() <= room as usize);
                model.write(answer, &bytes);
                model.give(0, chain.head.into(), bytes.len() as u32);
            }
        }
        if asked.len() == before {
            return asked;
        }
    }
}

/// Runs a driver beside the device until the driver has ended.
fn run(sim: &mut Sim, model: &Model, refuse: Option<u32>) -> Asked {
    let mut asked = Asked::new();
    loop {
        sim.run();
        let more = serve(model, refuse);
        if more.is_empty() {
            return asked;
        }
        asked.extend(more);
    }
}

#[test]
fn a_picture_is_made_shown_and_presented() {
    let (mut sim, model) = (Sim::new(), device());
    let (function, clock) = (model.clone(), sim.clock());
    sim.spawn("driver", async move {
        let gpu = gpu::start(function, &clock).await.expect("good");
        let (mut control, mut cursor) = (gpu.control, gpu.cursor);
        let modes = control.modes().await.expect("answered");
        let expected = Mode {
            rect: Rect {
                x: 0,
                y: 0,
                width: 1280,
                height: 800,
            },
            enabled: true,
        };
        assert_eq!(
            (control.outputs(), modes[0], modes[1].enabled),
            (2, expected, false)
        );
        assert_eq!(
            control.edid(0).await,
            Ok(Some(vec![1, 2, 3, 4, 5, 6, 7, 8]))
        );
        let (picture, memory) = control.create(100, 50, Pixels::Bgrx).await.expect("made");
        assert!(memory.space.len() >= 20_000);
        assert_eq!(picture.row_bytes(), 400);
        let all = picture.all();
        let show = |what| Work::Show { output: 1, what };
        let shown = control.run(&[show(Some((&picture, all)))]).await;
        shown.expect("shown");
        let rect = Rect {
            x: 10,
            y: 20,
            width: 90,
            height: 30,
        };
        let picture = &picture;
        let transfer = |rect, offset| Work::Transfer {
            picture,
            rect,
            offset,
        };
        let offset = picture.offset(rect);
        let work = [transfer(rect, offset), Work::Flush { picture, rect }];
        assert!(control.run(&work).await.expect("presented") > 0);
        for bad in [
            Rect { width: 91, ..rect },
            Rect { height: 0, ..rect },
            Rect {
                x: u32::MAX,
                ..rect
            },
        ] {
            for work in [
                transfer(bad, 0),
                Work::Flush { picture, rect: bad },
                show(Some((picture, bad))),
            ] {
                assert_eq!(control.run(&[work]).await, Err(GpuError::Size));
            }
        }
        // From elsewhere in its memory, as far as that goes.
        let beyond = transfer(rect, 20_000 - 30 * 400 + 41);
        assert_eq!(control.run(&[beyond]).await, Err(GpuError::Size));
        assert_eq!(
            cursor.set(0, (1, 2), Some(picture), (0, 0)).await,
            Err(GpuError::Size)
        );
        let (arrow, _) = control.create(64, 64, Pixels::Bgra).await.expect("made");
        cursor
            .set(0, (1, 2), Some(&arrow), (3, 4))
            .await
            .expect("set");
        cursor.move_to(0, (5, 6)).await.expect("moved");
        control.run(&[show(None)]).await.expect("hidden");
        control.destroy(arrow).await.expect("gone");
        assert_eq!(
            control.create(0, 1, Pixels::Bgra).await.map(drop).err(),
            Some(GpuError::Size)
        );
    });
    let asked = run(&mut sim, &model, None);
    assert_eq!(sim.unfinished(), [""; 0]);
    let sorts: Vec<u32> = asked.iter().map(|asked| asked.0).collect();
    let expected = [
        0x100, 0x10a, 0x101, 0x106, 0x103, 0x105, 0x104, 0x101, 0x106, 0x300, 0x301, 0x103, 0x102,
    ];
    assert_eq!(sorts, expected);
    assert_eq!(asked[2].1, [1, 2, 100, 50]);
    assert_eq!(
        (asked[3].1[..2].to_vec(), asked[3].1[4]),
        (vec![1, 1], 20_000)
    );
    assert_eq!(asked[4].1, [0, 0, 100, 50, 1, 1]);
    assert_eq!(asked[5].1, [10, 20, 90, 30, 20 * 400 + 40, 0, 1, 0]);
    assert_eq!(asked[6].1, [10, 20, 90, 30, 1, 0]);
    assert_eq!(asked[9].1, [0, 1, 2, 0, 2, 3, 4, 0]);
    assert_eq!(asked[10].1, [0, 5, 6, 0, 0, 0, 0, 0]);
}

#[test]
fn the_device_may_refuse() {
    for (refuse, error) in [
        (0x101, GpuError::Refused(0x1205)),
        (0x106, GpuError::Refused(0x1205)),
    ] {
        let (mut sim, model) = (Sim::new(), device());
        let (function, clock) = (model.clone(), sim.clock());
        sim.spawn("driver", async move {
            let mut gpu = gpu::start(function, &clock).await.expect("good");
            let made = gpu.control.create(8, 8, Pixels::Bgrx).await.map(drop);
            assert_eq!(made.err(), Some(error));
        });
        run(&mut sim, &model, Some(refuse));
        assert_eq!(sim.unfinished(), [""; 0]);
    }
}

#[test]
fn who_stops_waiting_leaves_nothing_behind() {
    let (mut sim, model) = (Sim::new(), device());
    let (function, clock) = (model.clone(), sim.clock());
    let rounds = Arc::new(Mutex::new(0));
    let out = rounds.clone();
    sim.spawn("driver", async move {
        let mut gpu = gpu::start(function, &clock).await.expect("good");
        for _ in 0..100 {
            // Dropped as soon as it waits: the request is with the device.
            rt::first(gpu.control.modes(), async {}).await;
            let modes = gpu.control.modes().await.expect("answered");
            assert!(modes[0].enabled);
            *out.lock().expect("free") += 1;
        }
    });
    let asked = run(&mut sim, &model, None);
    assert_eq!((*rounds.lock().expect("free"), asked.len()), (100, 200));
}

#[test]
fn changes_of_outputs_are_noticed_once() {
    let (mut sim, model) = (Sim::new(), device());
    let (function, clock) = (model.clone(), sim.clock());
    let seen = Arc::new(Mutex::new(0));
    let out = seen.clone();
    sim.spawn("driver", async move {
        let gpu = gpu::start(function, &clock).await.expect("good");
        while gpu.changes.next().await.is_ok() {
            *out.lock().expect("free") += 1;
        }
    });
    for round in 0..5 {
        sim.run();
        assert_eq!(*seen.lock().expect("free"), round);
        if let Some(own) = &mut model.state().own {
            own[0] = 1;
        }
        model.interrupt_config();
    }
    sim.run();
    assert_eq!(*seen.lock().expect("free"), 5);
}
