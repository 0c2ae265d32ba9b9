//! Frames of one connection out of the pieces that a socket gives (pure).
//!
//! All connections of a thread read into one buffer, one after the other; a connection of its own keeps only the beginning
//! of a frame whose rest has not come. A buffer for each of them would be the largest part of a client
//! (`performance.md`). Heads of frames are read by tungstenite.

use std::borrow::Cow;
use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::session::Oddity;

/// A message above this is not kept: content has at most 64 KB (documented), the envelope is small.
pub const MESSAGE_MAX: usize = 256 * 1024;

/// Takes apart what the server of one connection sends.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The beginning of a frame.
    rest: Vec<u8>,
    /// The beginning of a message in several frames.
    fragments: Option<Box<Fragments>>,
    /// Bytes of a frame that is too large, still to come.
    skipping: u64,
}

/// What comes out, borrowed from the piece it came in where possible.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A text message.
    Text(Cow<'a, str>),
    /// A ping, and what its pong must carry.
    Ping(&'a [u8]),
    /// An answer to a ping of ours; fleets send none, and skip it.
    Pong(&'a [u8]),
    /// A message that is counted and skipped.
    Odd(Oddity),
    /// A close frame: its code (1005: it carried none) and reason.
    Close(u16, &'a str),
    /// The server broke the protocol; nothing that follows can be read.
    Broken,
}

#[derive(Debug)]
struct Fragments {
    text: bool,
    /// There was more of it than is kept.
    too_large: bool,
    bytes: Vec<u8>,
}

impl Decoder {
    /// One that has been given these bytes already.
    pub fn beginning_with(rest: Vec<u8>) -> Self {
        Self { rest, ..Self::default() }
    }

    /// The beginning of a frame, to be put in front of the next piece.
    pub fn rest(&self) -> &[u8] {
        &self.rest
    }

    /// The next item of a piece that begins with [`Decoder::rest`]; `at` moves behind it. `None`: what is left is the
    /// beginning of a frame, for [`Decoder::keep`].
    pub fn next<'a>(&mut self, piece: &'a [u8], at: &mut usize) -> Option<Item<'a>> {
        loop {
            let left = &piece[*at..];
            if self.skipping > 0 {
                let skipped = left.len().min(usize::try_from(self.skipping).unwrap_or(usize::MAX));
                self.skipping -= skipped as u64;
                *at += skipped;
                if self.skipping > 0 {
                    return None;
                }
                continue;
            }
            let mut cursor = Cursor::new(left);
            let (header, length) = match FrameHeader::parse(&mut cursor) {
                Ok(Some(parsed)) => parsed,
                Ok(None) => return None,
                Err(_) => return Some(Item::Broken),
            };
            let head = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
            if !is_sound(&header, length) {
                return Some(Item::Broken);
            }
            if length > MESSAGE_MAX as u64 {
                *at += head;
                self.skipping = length;
                match self.too_large(&header) {
                    Some(item) => return Some(item),
                    None => continue,
                }
            }
            let end = head + length as usize;
            let payload = left.get(head..end)?;
            *at += end;
            if let Some(item) = self.frame(&header, payload) {
                return Some(item);
            }
        }
    }

    /// Keeps the end of a piece for the next one.
    pub fn keep(&mut self, rest: &[u8]) {
        self.rest.clear();
        if rest.is_empty() {
            // Frames are cut now and then, not always: what the rest of one took is given back.
            self.rest = Vec::new();
        } else {
            self.rest.extend_from_slice(rest);
        }
    }

    fn frame<'a>(&mut self, header: &FrameHeader, payload: &'a [u8]) -> Option<Item<'a>> {
        match header.opcode {
            OpCode::Control(Control::Ping) => Some(Item::Ping(payload)),
            OpCode::Control(Control::Pong) => Some(Item::Pong(payload)),
            OpCode::Control(Control::Close) => Some(close(payload)),
            OpCode::Control(Control::Reserved(_)) | OpCode::Data(Data::Reserved(_)) => Some(Item::Broken),
            OpCode::Data(Data::Continue) => self.go_on(header.is_final, payload),
            OpCode::Data(kind) if self.fragments.is_none() => {
                let text = kind == Data::Text;
                if header.is_final {
                    return Some(message(text, Cow::Borrowed(payload)));
                }
                let fragments = Fragments { text, too_large: false, bytes: payload.to_vec() };
                self.fragments = Some(Box::new(fragments));
                None
            }
            // A new message before the old one has ended.
            OpCode::Data(_) => Some(Item::Broken),
        }
    }

    fn go_on<'a>(&mut self, is_final: bool, payload: &[u8]) -> Option<Item<'a>> {
        let Some(fragments) = &mut self.fragments else { return Some(Item::Broken) };
        if fragments.bytes.len() + payload.len() > MESSAGE_MAX {
            (fragments.too_large, fragments.bytes) = (true, Vec::new());
        }
        if !fragments.too_large {
            fragments.bytes.extend_from_slice(payload);
        }
        if !is_final {
            return None;
        }
        let whole = self.fragments.take()?;
        Some(if whole.too_large {
            Item::Odd(Oddity::Oversized)
        } else {
            message(whole.text, Cow::Owned(whole.bytes))
        })
    }

    /// A frame that is skipped: on its own, or as a part of a message that is then too large as a whole.
    fn too_large<'a>(&mut self, header: &FrameHeader) -> Option<Item<'a>> {
        match (header.opcode, &mut self.fragments) {
            (OpCode::Data(Data::Text | Data::Binary), None) if header.is_final => {
                Some(Item::Odd(Oddity::Oversized))
            }
            (OpCode::Data(Data::Text | Data::Binary), none @ None) => {
                *none = Some(Box::new(Fragments { text: true, too_large: true, bytes: Vec::new() }));
                None
            }
            (OpCode::Data(Data::Continue), Some(fragments)) => {
                (fragments.too_large, fragments.bytes) = (true, Vec::new());
                if header.is_final {
                    self.fragments = None;
                    return Some(Item::Odd(Oddity::Oversized));
                }
                None
            }
            _ => Some(Item::Broken),
        }
    }
}

/// RFC 6455: no extension was negotiated, servers do not mask, control frames are short and whole.
fn is_sound(header: &FrameHeader, length: u64) -> bool {
    let control = matches!(header.opcode, OpCode::Control(_));
    let plain = !header.rsv1 && !header.rsv2 && !header.rsv3 && header.mask.is_none();
    plain && (!control || (header.is_final && length <= 125))
}

fn message(text: bool, bytes: Cow<'_, [u8]>) -> Item<'_> {
    if !text {
        return Item::Odd(Oddity::Binary);
    }
    let text = match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).ok(),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).ok(),
    };
    text.map_or(Item::Broken, Item::Text)
}

fn close(payload: &[u8]) -> Item<'_> {
    match payload {
        [] => Item::Close(1005, ""),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            std::str::from_utf8(reason).map_or(Item::Broken, |reason| Item::Close(code, reason))
        }
        [_] => Item::Broken,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};

    use super::*;

    /// Everything that comes out when the bytes arrive in pieces of these sizes, and then one by one.
    fn decode(bytes: &[u8], mut sizes: impl Iterator<Item = usize>) -> Vec<String> {
        let (mut decoder, mut out, mut sent) = (Decoder::default(), Vec::new(), 0);
        while sent < bytes.len() {
            let size = sizes.next().unwrap_or(1).clamp(1, bytes.len() - sent);
            let piece = [decoder.rest(), &bytes[sent..sent + size]].concat();
            sent += size;
            let mut at = 0;
            while let Some(item) = decoder.next(&piece, &mut at) {
                out.push(format!("{item:?}"));
                if item == Item::Broken {
                    return out;
                }
            }
            decoder.keep(&piece[at..]);
        }
        out
    }

    fn whole(frames: &[Frame]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for frame in frames {
            frame.clone().format(&mut bytes).expect("a Vec takes everything");
        }
        bytes
    }

    fn text(text: &str, is_final: bool) -> Frame {
        Frame::message(text.to_owned(), OpCode::Data(Data::Text), is_final)
    }

    fn more(text: &str, is_final: bool) -> Frame {
        Frame::message(text.to_owned(), OpCode::Data(Data::Continue), is_final)
    }

    #[test]
    fn messages_come_out_whole_whatever_lies_between_their_parts() {
        let close = CloseFrame { code: 4003.into(), reason: "ping_timeout".into() };
        let frames = [
            text("one", true),
            text("t", false),
            Frame::ping(vec![7, 8]),
            more("w", false),
            Frame::pong(vec![]),
            more("o", true),
            Frame::message(vec![1, 2, 3], OpCode::Data(Data::Binary), true),
            Frame::close(None),
            Frame::close(Some(close)),
        ];
        let expected = [
            "Text(\"one\")",
            "Ping([7, 8])",
            "Pong([])",
            "Text(\"two\")",
            "Odd(Binary)",
            "Close(1005, \"\")",
            "Close(4003, \"ping_timeout\")",
        ];
        let bytes = whole(&frames);
        assert_eq!(decode(&bytes, std::iter::once(bytes.len())), expected);
        assert_eq!(decode(&bytes, std::iter::empty()), expected, "byte by byte");
    }

    #[test]
    fn what_is_too_large_is_skipped_and_the_next_message_read() {
        let (half, huge) = ("x".repeat(MESSAGE_MAX / 2 + 1), "x".repeat(MESSAGE_MAX + 1));
        for frames in [
            vec![text(&huge, true)],
            vec![text(&half, false), more(&half, false), more("end", true)],
            vec![text("begin", false), more(&huge, false), more("end", true)],
            vec![text(&huge, false), more("end", true)],
            vec![text("begin", false), more(&huge, true)],
        ] {
            let bytes = whole(&[frames, vec![text("after", true)]].concat());
            let expected = ["Odd(Oversized)", "Text(\"after\")"];
            assert_eq!(decode(&bytes, std::iter::repeat(60_000)), expected);
        }
        let largest = text(&"x".repeat(MESSAGE_MAX), true);
        assert!(decode(&whole(&[largest]), std::iter::repeat(60_000))[0].starts_with("Text"));
    }

    #[test]
    fn what_a_server_must_not_send_ends_the_reading() {
        let mut masked = text("hi", true);
        masked.header_mut().mask = Some([1, 2, 3, 4]);
        let mut reserved = text("hi", true);
        reserved.header_mut().rsv1 = true;
        let mut cut_ping = Frame::ping(vec![]);
        cut_ping.header_mut().is_final = false;
        for (frames, why) in [
            (vec![masked], "masked"),
            (vec![reserved], "reserved bits"),
            (vec![cut_ping], "a control frame in parts"),
            (vec![Frame::ping(vec![0; 126])], "a long control frame"),
            (vec![more("x", true)], "an end without a beginning"),
            (vec![text("x", false), text("y", true)], "a beginning before the end"),
            (vec![Frame::message(vec![0xff], OpCode::Data(Data::Text), true)], "no UTF-8"),
            (vec![Frame::message(vec![], OpCode::Data(Data::Reserved(5)), true)], "reserved opcode"),
        ] {
            assert_eq!(
                decode(&whole(&frames), std::iter::repeat(1000)).last().map(String::as_str),
                Some("Broken"),
                "{why}"
            );
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_bytes_were_cut(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            texts in proptest::collection::vec("[a-zé]{0,200}", 0..6),
            sizes in proptest::collection::vec(1usize..300, 0..40),
        ) {
            let frames: Vec<Frame> = texts.iter().map(|one| text(one, true)).collect();
            let bytes = [whole(&frames), bytes].concat();
            prop_assert_eq!(decode(&bytes, sizes.into_iter()), decode(&bytes, std::iter::once(bytes.len())));
        }
    }
}
