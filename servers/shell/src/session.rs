//! The loop: a line in, its commands run, a status kept.

use core::fmt;

use rt::{ByteSink, ByteSource, Closed};

use crate::Host;
use crate::complete::Completion;
use crate::editor::{Action, Editor};
use crate::history::History;
use crate::input::Input;
use crate::keys::{Key, KeyDecoder};
use crate::output::{Output, put};
use crate::parse::{self, Words};
use crate::{Config, MARK, MAX_LINE_BYTES, Mode, commands, status};

const PROMPT: &str = "raede> ";

/// A shell and all its buffers.
pub struct Session<'a, I, O, S> {
    pub config: Config,
    pub input: Input<'a, I>,
    pub output: Output<'a, O>,
    pub system: &'a S,
    /// Status of the last command.
    pub status: u8,
    decoder: KeyDecoder,
    /// A key that came with the one before.
    next_key: Option<Key>,
    editor: Editor,
    history: History,
    /// How far back in the history the line shown is.
    back: Option<usize>,
    /// What was typed before the history was looked at.
    draft: heapless::String<MAX_LINE_BYTES>,
}

impl<'a, I: ByteSource, O: ByteSink, S: Host> Session<'a, I, O, S> {
    pub fn new(config: Config, input: &'a I, output: &'a O, system: &'a S) -> Self {
        Self {
            config,
            input: Input::new(input),
            output: Output::new(output, config.mode),
            system,
            status: status::OK,
            decoder: KeyDecoder::default(),
            next_key: None,
            editor: Editor::new(PROMPT, config.columns),
            history: History::default(),
            back: None,
            draft: heapless::String::new(),
        }
    }

    pub async fn run(&mut self) -> Closed {
        match self.serve().await {
            Ok(never) => match never {},
            Err(closed) => closed,
        }
    }

    async fn serve(&mut self) -> Result<core::convert::Infallible, Closed> {
        if self.is_script() {
            put!(self.output, "{MARK}ready\n");
        }
        loop {
            if self.is_script() {
                self.read_script_line().await?;
            } else {
                self.read_line().await?;
            }
            let ran = self.run_line().await?;
            if self.is_script() {
                put!(self.output, "{MARK}{}\n", ran.unwrap_or(status::OK));
            }
        }
    }

    pub fn is_script(&self) -> bool {
        self.config.mode == Mode::Script
    }

    /// The next key; what is buffered is sent before it is waited for.
    pub async fn key(&mut self) -> Result<Key, Closed> {
        loop {
            if let Some(key) = self.next_key.take() {
                return Ok(key);
            }
            if self.input.is_waiting() {
                self.output.checkpoint().await?;
            } else {
                self.output.flush().await?;
            }
            let byte = self.input.byte().await?;
            let [first, second] = self.decoder.push(byte);
            self.next_key = second;
            if let Some(key) = first {
                return Ok(key);
            }
        }
    }

    async fn read_script_line(&mut self) -> Result<(), Closed> {
        self.editor.clear();
        loop {
            match self.key().await? {
                Key::Enter => return Ok(()),
                Key::Char(character) => self.editor.append(character),
                Key::Tab => self.editor.append(' '),
                Key::Invalid => self.editor.append_invalid(),
                Key::Control('c') => self.editor.clear(),
                _ => {}
            }
        }
    }

    async fn read_line(&mut self) -> Result<(), Closed> {
        self.editor.clear();
        self.back = None;
        shown(self.editor.show(&mut self.output));
        loop {
            let key = self.key().await?;
            match shown(self.editor.key(key, &mut self.output)).unwrap_or(Action::None) {
                Action::None => {}
                Action::Submit => {
                    put!(self.output, "\n");
                    return Ok(());
                }
                Action::Cancel => {
                    put!(self.output, "^C\n");
                    self.status = status::INTERRUPTED;
                    self.editor.clear();
                    self.back = None;
                    shown(self.editor.show(&mut self.output));
                }
                Action::EndOfInput => {
                    put!(
                        self.output,
                        "\nthis shell has no end: use `poweroff` or `reboot`\n"
                    );
                    shown(self.editor.show(&mut self.output));
                }
                Action::Complete => self.complete().await,
                Action::Earlier => {
                    self.recall(self.back.map_or(Some(0), |back| Some(back + 1)), "")
                }
                Action::Later => self.recall(self.back.and_then(|back| back.checked_sub(1)), ""),
                Action::Search => self.search(),
            }
        }
    }

    /// Shows the line `back` lines back, or what was typed before for `None`. Stays if there is none.
    fn recall(&mut self, back: Option<usize>, containing: &str) {
        if self.back.is_none() {
            self.keep_draft();
        }
        let found = match back {
            Some(back) => self
                .history
                .find(containing, back)
                .map(|(back, line)| (Some(back), line)),
            None => Some((None, self.draft.as_str())),
        };
        if let Some((back, line)) = found {
            self.back = back;
            shown(self.editor.replace(line, &mut self.output));
        }
    }

    fn search(&mut self) {
        if self.back.is_none() {
            self.keep_draft();
        }
        let from = self.back.map_or(0, |back| back + 1);
        if let Some((back, line)) = self.history.find(&self.draft, from) {
            self.back = Some(back);
            shown(self.editor.replace(line, &mut self.output));
        }
    }

    fn keep_draft(&mut self) {
        self.draft.clear();
        // A line fits: both have the same capacity.
        let kept = self.draft.push_str(self.editor.line());
        debug_assert!(kept.is_ok());
    }

    async fn complete(&mut self) {
        let mut completion = Completion::of(self.editor.before_cursor());
        completion.ask(self.system).await;
        let (count, common) = completion.common();
        if count > 1 && common.is_empty() {
            put!(self.output, "\n");
            let output = &mut self.output;
            completion.each(&mut |candidate| put!(*output, "{candidate}  "));
            put!(self.output, "\n");
            shown(self.editor.show(&mut self.output));
            return;
        }
        let mut text = common;
        if count == 1 {
            text.push(" ");
        }
        shown(self.editor.type_text(&text, &mut self.output));
    }

    /// Runs the commands of the line in the editor; gives the status of the last one, or `None` if
    /// there was none and `$?` stays as it was.
    async fn run_line(&mut self) -> Result<Option<u8>, Closed> {
        if self.editor.is_too_long() {
            put!(
                self.output,
                "raede: the line is longer than {MAX_LINE_BYTES} bytes and was discarded\n"
            );
            self.status = status::USAGE;
            return Ok(Some(self.status));
        }
        if self.editor.had_invalid() {
            put!(
                self.output,
                "raede: the line had bytes that are not UTF-8; each place shows as {}\n",
                char::REPLACEMENT_CHARACTER
            );
        }
        let mut line = heapless::String::<MAX_LINE_BYTES>::new();
        let copied = line.push_str(self.editor.line());
        debug_assert!(copied.is_ok());
        if !self.is_script() {
            self.history.add(&line);
        }
        let mut words = Words::default();
        if let Err(error) = parse::check(&line, &mut words) {
            put!(self.output, "raede: {error}\n");
            self.status = status::USAGE;
            return Ok(Some(self.status));
        }
        let mut ran = None;
        let mut rest = Some(line.as_str());
        while let Some(commands) = rest {
            // Cannot fail after the check above; if it did, the line would end here.
            rest = parse::next_command(commands, self.status, &mut words).unwrap_or_default();
            if !words.is_empty() {
                self.output.checkpoint().await?;
                self.status = commands::execute(self, &words).await?;
                ran = Some(self.status);
                if self.status == status::INTERRUPTED {
                    // Ctrl-C ends the whole line.
                    break;
                }
            }
        }
        Ok(ran)
    }
}

/// The editor's output goes to [`Output`], which takes everything.
fn shown<T>(result: Result<T, fmt::Error>) -> Option<T> {
    debug_assert!(result.is_ok());
    result.ok()
}
