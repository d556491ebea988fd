//! A model of cores with TLBs runs the protocol one step at a time, in random order.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::vec::Vec;

const CORES: usize = 3;
const SPACES: usize = 4;
const PAGES: u64 = 3;
/// Fewer than spaces, so that tags change hands.
const TAGS: usize = 2;

// A part of the protocol to leave out, to see that the model notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    LoaderEntersFirst,
    RaisingFirst,
    TagsOutOfDate,
    Interrupts,
    OneAtATime,
}

struct Space {
    generation: u64,
    cores: CoreSet,
    // By page: the version in the tables, and the one that all cores must see.
    tables: [u64; PAGES as usize],
    settled: [u64; PAGES as usize],
}

#[derive(Clone, Copy, Debug)]
enum Doing {
    Nothing,
    // Interrupts are off in these.
    Loading {
        space: usize,
        stage: u8,
        seen: u64,
    },
    // And on in these.
    Changed {
        space: usize,
        page: u64,
        version: u64,
    },
    Raised {
        space: usize,
        page: u64,
        version: u64,
        from: u64,
    },
    Flushed {
        space: usize,
        page: u64,
        version: u64,
        targets: Option<(Cores, Cores)>,
    },
    Waiting {
        space: usize,
        page: u64,
        version: u64,
        targets: Cores,
        goal: Option<(u32, u64)>,
    },
}

struct Core {
    loaded: Option<(usize, u16)>,
    tlb: BTreeMap<(u16, u64), u64>,
    tags: Tags<TAGS>,
    mailbox: Mailbox,
    // An interrupt is on its way.
    interrupted: bool,
    serving: Option<Pending>,
    doing: Doing,
}

struct World {
    without: Without,
    has_pcids: bool,
    spaces: Vec<Space>,
    cores: Vec<Core>,
    settled: u64,
}

impl World {
    fn new(without: Without, has_pcids: bool) -> Self {
        let space = || Space {
            generation: 1,
            cores: CoreSet::new(),
            tables: [1; PAGES as usize],
            settled: [1; PAGES as usize],
        };
        let core = || Core {
            loaded: None,
            tlb: BTreeMap::new(),
            tags: Tags::new(),
            mailbox: Mailbox::new(),
            interrupted: false,
            serving: None,
            doing: Doing::Nothing,
        };
        World {
            without,
            has_pcids,
            spaces: (0..SPACES).map(|_| space()).collect(),
            cores: (0..CORES).map(|_| core()).collect(),
            settled: 0,
        }
    }

    fn load(&mut self, me: usize, space: usize, generation: u64) {
        let core = &mut self.cores[me];
        let load = if self.has_pcids {
            core.tags.load(space as u64 + 1, generation)
        } else {
            Load {
                tag: 0,
                flush: true,
            }
        };
        if load.flush && self.without != Without::TagsOutOfDate {
            core.tlb.retain(|&(tag, _), _| tag != load.tag);
        }
        let before = core.loaded.replace((space, load.tag));
        if let Some((before, _)) = before {
            self.spaces[before].cores.remove(Member::of(me as u32));
        }
    }

    // The core does one step of what it is at, or begins something.
    fn step(&mut self, me: usize, choice: u8) {
        let (space, page) = (usize::from(choice) % SPACES, u64::from(choice / 8) % PAGES);
        let loaded = self.cores[me].loaded;
        match self.cores[me].doing {
            Doing::Nothing => match choice % 3 {
                0 if loaded.is_none_or(|(loaded, _)| loaded != space) => {
                    self.cores[me].doing = Doing::Loading {
                        space,
                        stage: 0,
                        seen: 0,
                    };
                }
                1 => {
                    self.spaces[space].tables[page as usize] += 1;
                    let version = self.spaces[space].tables[page as usize];
                    self.cores[me].doing = Doing::Changed {
                        space,
                        page,
                        version,
                    };
                }
                _ => {}
            },
            Doing::Loading { space, stage, seen } => {
                let enters_first = self.without != Without::LoaderEntersFirst;
                let mut seen = seen;
                if stage == 2 {
                    self.load(me, space, seen);
                    self.cores[me].doing = Doing::Nothing;
                    return;
                }
                if (stage == 0) == enters_first {
                    self.spaces[space].cores.insert(Member::of(me as u32));
                } else {
                    seen = self.spaces[space].generation;
                }
                self.cores[me].doing = Doing::Loading {
                    space,
                    stage: stage + 1,
                    seen,
                };
            }
            Doing::Changed {
                space,
                page,
                version,
            } => {
                let from = self.spaces[space].generation;
                if self.without != Without::RaisingFirst {
                    self.spaces[space].generation += 1;
                }
                self.cores[me].doing = Doing::Raised {
                    space,
                    page,
                    version,
                    from,
                };
            }
            Doing::Raised {
                space,
                page,
                version,
                from,
            } => {
                if let Some((loaded, tag)) = loaded
                    && loaded == space
                {
                    let core = &mut self.cores[me];
                    core.tlb.remove(&(tag, page));
                    if self.without == Without::OneAtATime {
                        core.tags.told_of_all(space as u64 + 1, from + 1);
                    } else {
                        core.tags.told_of_one(space as u64 + 1, from);
                    }
                }
                self.cores[me].doing = Doing::Flushed {
                    space,
                    page,
                    version,
                    targets: None,
                };
            }
            Doing::Flushed {
                space,
                page,
                version,
                targets,
            } => {
                let (mut left, targets) = targets.unwrap_or_else(|| {
                    let mut cores = self.spaces[space].cores.snapshot();
                    cores.remove(me as u32);
                    (cores, cores)
                });
                let flush = if choice.is_multiple_of(5) {
                    Flush::All
                } else {
                    Flush::page(page << 12)
                };
                if let Some(target) = left.pop() {
                    if self.without != Without::Interrupts {
                        let target = &mut self.cores[target as usize];
                        target.interrupted |= target.mailbox.post(flush);
                    }
                    self.cores[me].doing = Doing::Flushed {
                        space,
                        page,
                        version,
                        targets: Some((left, targets)),
                    };
                    return;
                }
                self.cores[me].doing = Doing::Waiting {
                    space,
                    page,
                    version,
                    targets,
                    goal: None,
                };
            }
            Doing::Waiting {
                space,
                page,
                version,
                mut targets,
                goal,
            } => {
                let goal = goal.or_else(|| {
                    let core = targets.pop()?;
                    Some((core, self.cores[core as usize].mailbox.posted()))
                });
                let Some((core, posted)) = goal else {
                    // The future is ready: from here on nobody may see less.
                    let settled = &mut self.spaces[space].settled[page as usize];
                    *settled = version.max(*settled);
                    self.settled += 1;
                    self.cores[me].doing = Doing::Nothing;
                    return;
                };
                let done = self.cores[core as usize].mailbox.has_served(posted);
                self.cores[me].doing = Doing::Waiting {
                    space,
                    page,
                    version,
                    targets,
                    goal: (!done).then_some((core, posted)),
                };
            }
        }
    }

    // The top half: `false` if there is none to run.
    fn serve(&mut self, me: usize, halted: bool) -> bool {
        let core = &mut self.cores[me];
        if matches!(core.doing, Doing::Loading { .. }) {
            return false;
        }
        if let Some(pending) = core.serving.take() {
            core.mailbox.done(pending);
            core.interrupted = core.mailbox.pending().is_some();
            return true;
        }
        if !core.interrupted {
            return false;
        }
        let Some(pending) = core.mailbox.pending() else {
            core.interrupted = false;
            return true;
        };
        core.serving = Some(pending);
        let Some((space, tag)) = core.loaded else {
            return true;
        };
        if halted {
            core.loaded = None;
            self.spaces[space].cores.remove(Member::of(me as u32));
            return true;
        }
        let generation = self.spaces[space].generation;
        let mut pages = Vec::new();
        let by_range = core.mailbox.ranges(pending, |start, count| {
            pages.extend((0..count).map(|n| (start >> 12) + n));
        });
        if by_range {
            pages.iter().for_each(|&page| {
                core.tlb.remove(&(tag, page));
            });
        } else {
            core.tlb.retain(|&(of, _), _| of != tag);
            core.tags.told_of_all(space as u64 + 1, generation);
        }
        true
    }

    // The CPU translates a page of what is loaded, by its TLB or the tables; `false` if it sees what nobody may any more.
    fn touch(&mut self, me: usize, page: u64) -> bool {
        let core = &mut self.cores[me];
        let Some((space, tag)) = core.loaded else {
            return true;
        };
        let page = page % PAGES;
        let space = &self.spaces[space];
        let seen = *core
            .tlb
            .entry((tag, page))
            .or_insert(space.tables[page as usize]);
        seen >= space.settled[page as usize]
    }

    // Runs the choices; `false` if some core saw what it may not.
    fn run(&mut self, choices: impl Iterator<Item = u32>) -> bool {
        for choice in choices {
            let me = choice as usize % CORES;
            let detail = (choice >> 8) as u8;
            match choice >> 4 & 7 {
                0..=3 => {
                    // An interrupted core serves before it goes on; how much later the interrupt comes is chance.
                    if self.cores[me].serving.is_some() {
                        self.serve(me, false);
                    } else {
                        self.step(me, detail);
                    }
                }
                4 | 5 => {
                    self.serve(
                        me,
                        detail > 200 && matches!(self.cores[me].doing, Doing::Nothing),
                    );
                }
                _ => {
                    if !self.touch(me, u64::from(detail)) {
                        return false;
                    }
                }
            }
        }
        true
    }
}

proptest! {
    #[test]
    fn no_core_uses_what_a_finished_shootdown_removed(has_pcids: bool, choices in prop::collection::vec(any::<u32>(), 1..4000)) {
        let mut world = World::new(Without::Nothing, has_pcids);
        prop_assert!(world.run(choices.into_iter()));
    }
}

// A small generator: the search below must be the same each time.
fn random(mut state: u64) -> impl Iterator<Item = u32> {
    core::iter::from_fn(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Some((state >> 32) as u32)
    })
}

#[test]
fn the_model_misses_each_part_of_the_protocol() {
    for without in [
        Without::LoaderEntersFirst,
        Without::RaisingFirst,
        Without::TagsOutOfDate,
        Without::Interrupts,
        Without::OneAtATime,
    ] {
        let noticed =
            (0..400).any(|seed| !World::new(without, true).run(random(seed).take(20_000)));
        assert!(noticed, "{without:?} makes no difference");
    }
    let mut whole = World::new(Without::Nothing, true);
    assert!(whole.run(random(7).take(400_000)));
    assert!(whole.settled > 1000, "{} shootdowns ended", whole.settled);
}

#[test]
fn ranges_are_kept_and_too_many_mean_everything() {
    let mailbox = Mailbox::new();
    assert!(mailbox.post(Flush::page(0x5123)));
    assert!(!mailbox.post(Flush::range(0x7fff_fffe_0000, 0x7fff_ffff_0000)));
    let pending = mailbox.pending().unwrap();
    let mut met = Vec::new();
    assert!(mailbox.ranges(pending, |start, count| met.push((start, count))));
    assert_eq!(met, [(0x5000, 1), (0x7fff_fffe_0000, 16)]);
    assert!(!mailbox.has_served(1));
    mailbox.done(pending);
    assert!(mailbox.has_served(2) && mailbox.pending().is_none());
    for (posts, flush, kept) in [
        (16, Flush::page(0), true),
        (17, Flush::page(0), false),
        (1, Flush::All, false),
        (2, Flush::range(0, 16 << 12), true),
        (3, Flush::range(0, 16 << 12), false),
        (1, Flush::range(0, 33 << 12), false),
        (1, Flush::range(0, 32 << 12), true),
    ] {
        for number in 0..posts {
            assert_eq!(mailbox.post(flush), number == 0);
        }
        let pending = mailbox.pending().unwrap();
        assert_eq!(
            mailbox.ranges(pending, |_, _| {}),
            kept,
            "{posts} of {flush:?}"
        );
        mailbox.done(pending);
    }
}

#[test]
fn every_post_from_many_threads_is_served_once_announced() {
    let (mailbox, announced) = (Mailbox::new(), AtomicU64::new(0));
    const POSTS: u64 = 20_000;
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..POSTS {
                    if mailbox.post(Flush::page(0x1000)) {
                        announced.fetch_add(1, Ordering::SeqCst);
                    }
                    let goal = mailbox.posted();
                    while !mailbox.has_served(goal) {
                        thread::yield_now();
                    }
                }
            });
        }
        // The core: it looks only when it has been told to.
        let mut heard = 0;
        while !mailbox.has_served(2 * POSTS) {
            if announced.load(Ordering::SeqCst) == heard {
                thread::yield_now();
                continue;
            }
            heard += 1;
            while let Some(pending) = mailbox.pending() {
                mailbox.ranges(pending, |_, _| {});
                mailbox.done(pending);
            }
        }
    });
    assert!(mailbox.pending().is_none());
}

#[test]
fn tags_change_hands_when_they_run_out() {
    let mut tags: Tags<2> = Tags::new();
    let load = |tag, flush| Load { tag, flush };
    assert_eq!(tags.load(10, 1), load(1, true));
    assert_eq!(tags.load(20, 1), load(2, true));
    assert_eq!(tags.load(10, 1), load(1, false));
    assert_eq!(tags.load(30, 1), load(2, true), "the one used longest ago");
    assert_eq!(tags.load(10, 2), load(1, true), "out of date");
    tags.told_of_one(10, 2);
    assert_eq!(tags.load(10, 3), load(1, false));
    tags.told_of_one(10, 4);
    assert_eq!(tags.load(10, 5), load(1, true), "it missed one");
    tags.told_of_all(30, 9);
    assert_eq!(tags.load(30, 9), load(2, false));
}

#[test]
fn sets_of_cores() {
    let set = CoreSet::new();
    for core in [3, 64, 255, 256, u32::MAX] {
        set.insert(Member::of(core));
    }
    set.remove(Member::of(64));
    set.insert(Member::of(200));
    let mut now = set.snapshot();
    assert!(now.remove(200) && !now.remove(200) && !now.remove(1000));
    assert_eq!(now.collect::<Vec<_>>(), [3, 255]);
}
