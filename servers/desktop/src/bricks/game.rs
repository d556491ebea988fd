//! The rules. Lengths are in hundredths of a field that is [`WIDTH`] by [`HEIGHT`].

/// The field.
pub const WIDTH: i32 = 72_000;
/// The field.
pub const HEIGHT: i32 = 48_000;

const COLUMNS: usize = 12;
const ROWS: usize = 6;
const BRICK_WIDTH: i32 = WIDTH / COLUMNS as i32;
const BRICK_HEIGHT: i32 = 2_200;
const FIRST_ROW: i32 = 5_000;
const PADDLE_WIDTH: i32 = 10_000;
const PADDLE_HEIGHT: i32 = 1_400;
const PADDLE_TOP: i32 = HEIGHT - 3_200;
const BALL: i32 = 1_400;
/// Lengths a second.
const PADDLE_SPEED: i64 = 60_000;
const BALL_SPEED: i64 = 26_000;
const BALLS: u32 = 3;
const SECOND_NS: i64 = 1_000_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The ball lies on the paddle.
    Ready,
    Playing,
    Lost,
    Won,
}

/// A game.
pub struct Game {
    phase: Phase,
    bricks: [[bool; COLUMNS]; ROWS],
    paddle: i32,
    /// Which way a key holds it.
    held: i32,
    x: i32,
    y: i32,
    /// Lengths a second.
    dx: i64,
    dy: i64,
    points: u32,
    balls: u32,
}

impl Game {
    /// A whole wall.
    pub const fn new() -> Self {
        Self {
            phase: Phase::Ready,
            bricks: [[true; COLUMNS]; ROWS],
            paddle: (WIDTH - PADDLE_WIDTH) / 2,
            held: 0,
            x: (WIDTH - BALL) / 2,
            y: PADDLE_TOP - BALL,
            dx: BALL_SPEED / 3,
            dy: -BALL_SPEED,
            points: 0,
            balls: BALLS,
        }
    }

    /// The ball flies; after the end, a new game.
    pub const fn start(&mut self) {
        match self.phase {
            Phase::Ready => self.phase = Phase::Playing,
            Phase::Playing => {}
            Phase::Lost | Phase::Won => *self = Self::new(),
        }
    }

    /// The paddle's middle goes there.
    pub fn point(&mut self, x: i32) {
        self.move_paddle(x - PADDLE_WIDTH / 2);
    }

    /// A key holds the paddle, or lets it go.
    pub const fn hold(&mut self, way: i32, is_down: bool) {
        if is_down {
            self.held = way;
        } else if self.held == way {
            self.held = 0;
        }
    }

    fn move_paddle(&mut self, left: i32) {
        self.paddle = left.clamp(0, WIDTH - PADDLE_WIDTH);
        if self.phase == Phase::Ready {
            self.x = self.paddle + (PADDLE_WIDTH - BALL) / 2;
        }
    }

    /// Time passes. Whether anything moves.
    pub fn step(&mut self, ns: u64) -> bool {
        let ns = i64::try_from(ns).unwrap_or(SECOND_NS);
        if self.held != 0 {
            let by = PADDLE_SPEED * ns / SECOND_NS;
            self.move_paddle(self.paddle + self.held * by as i32);
        }
        if self.phase != Phase::Playing {
            return self.held != 0;
        }
        // In parts so small that the ball cannot jump over anything.
        let mut left_ns = ns;
        while left_ns > 0 && self.phase == Phase::Playing {
            let part_ns = left_ns.min(SECOND_NS / 100);
            left_ns -= part_ns;
            self.fly(part_ns);
        }
        true
    }

    fn fly(&mut self, ns: i64) {
        self.x += (self.dx * ns / SECOND_NS) as i32;
        if self.x < 0 || self.x > WIDTH - BALL {
            self.x = self.x.clamp(0, WIDTH - BALL);
            self.dx = -self.dx;
        }
        if self.hit() {
            self.dx = -self.dx;
        }
        self.y += (self.dy * ns / SECOND_NS) as i32;
        if self.y < 0 {
            self.y = 0;
            self.dy = self.dy.abs();
        }
        if self.hit() {
            self.dy = -self.dy;
        }
        let on_paddle = self.dy > 0
            && (PADDLE_TOP - BALL..PADDLE_TOP + PADDLE_HEIGHT).contains(&self.y)
            && self.x + BALL > self.paddle
            && self.x < self.paddle + PADDLE_WIDTH;
        if on_paddle {
            self.y = PADDLE_TOP - BALL;
            self.dy = -self.dy.abs();
            // The further from the middle, the flatter it flies on.
            let off = i64::from(self.x + BALL / 2 - self.paddle - PADDLE_WIDTH / 2);
            self.dx = BALL_SPEED * off * 2 / i64::from(PADDLE_WIDTH);
        }
        if self.y > HEIGHT {
            self.balls = self.balls.saturating_sub(1);
            self.phase = if self.balls == 0 {
                Phase::Lost
            } else {
                Phase::Ready
            };
            self.dy = -BALL_SPEED;
            self.y = PADDLE_TOP - BALL;
            self.move_paddle(self.paddle);
        }
        if self.bricks.iter().flatten().all(|brick| !brick) {
            self.phase = Phase::Won;
        }
    }

    /// Takes out the brick where the ball is, if there is one.
    fn hit(&mut self) -> bool {
        let (middle_x, middle_y) = (self.x + BALL / 2, self.y + BALL / 2);
        let row = (middle_y - FIRST_ROW).div_euclid(BRICK_HEIGHT);
        let column = middle_x.div_euclid(BRICK_WIDTH);
        let place = usize::try_from(row)
            .ok()
            .zip(usize::try_from(column).ok())
            .and_then(|(row, column)| self.bricks.get_mut(row)?.get_mut(column));
        match place {
            Some(brick) if *brick => {
                *brick = false;
                self.points += 10;
                true
            }
            _ => false,
        }
    }

    /// Bricks: left, top, width, height, and their row.
    pub fn bricks(&self) -> impl Iterator<Item = (i32, i32, i32, i32, usize)> {
        self.bricks.iter().enumerate().flat_map(|(row, bricks)| {
            bricks
                .iter()
                .enumerate()
                .filter(|(_, there)| **there)
                .map(move |(column, _)| {
                    let (x, y) = (
                        column as i32 * BRICK_WIDTH,
                        FIRST_ROW + row as i32 * BRICK_HEIGHT,
                    );
                    (x, y, BRICK_WIDTH, BRICK_HEIGHT, row)
                })
        })
    }

    /// Left, top, width, height.
    pub const fn paddle(&self) -> (i32, i32, i32, i32) {
        (self.paddle, PADDLE_TOP, PADDLE_WIDTH, PADDLE_HEIGHT)
    }

    /// Left, top, side.
    pub const fn ball(&self) -> (i32, i32, i32) {
        (self.x, self.y, BALL)
    }

    /// Points so far.
    pub const fn points(&self) -> u32 {
        self.points
    }

    /// Balls left.
    pub const fn balls(&self) -> u32 {
        self.balls
    }

    /// What there is to say.
    pub const fn message(&self) -> Option<&'static str> {
        match self.phase {
            Phase::Ready => Some("Space, or a press, starts"),
            Phase::Playing => None,
            Phase::Lost => Some("No balls left. Space for a new game"),
            Phase::Won => Some("The wall is down! Space for a new game"),
        }
    }
}
