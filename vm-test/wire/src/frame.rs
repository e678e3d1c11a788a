// SPDX-License-Identifier: GPL-2.0

//! Encoding of a message: its length in four little-endian bytes, then postcard.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Error, ErrorKind, Read, Write};

/// Upper bound of a message's length; anything longer is invalid.
const MAX: usize = 64 << 20;

pub fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let body = postcard::to_stdvec(message).map_err(Error::other)?;
    if body.len() > MAX {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("a message of {} bytes", body.len()),
        ));
    }
    // One write, so that a lock around this is enough for two writers.
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend((body.len() as u32).to_le_bytes());
    frame.extend(body);
    to.write_all(&frame)?;
    to.flush()
}

pub fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX {
        return Err(Error::new(ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    postcard::from_bytes(&body).map_err(|e| Error::new(ErrorKind::InvalidData, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Call, Request};

    fn request(data: &[u8]) -> Request {
        Request { id: 7, call: Call::Write { path: "/f".into(), data: data.into() } }
    }

    #[test]
    fn messages_survive_a_round_trip() {
        let mut wire = Vec::new();
        send(&mut wire, &request(b"0-3\n")).unwrap();
        send(&mut wire, &request(b"\0\xff")).unwrap();
        let mut wire = wire.as_slice();
        for data in [b"0-3\n".as_slice(), b"\0\xff"] {
            let got: Request = receive(&mut wire).unwrap();
            assert_eq!((got.id, got.call), (7, request(data).call));
        }
        assert!(wire.is_empty());
    }

    #[test]
    fn an_invalid_length_is_refused_before_allocation() {
        let mut wire = [0xff; 8].as_slice();
        assert_eq!(receive::<Request>(&mut wire).unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn a_cut_frame_is_an_end_of_file() {
        let mut wire = Vec::new();
        send(&mut wire, &request(b"x")).unwrap();
        wire.pop();
        let error = receive::<Request>(&mut wire.as_slice()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
}
