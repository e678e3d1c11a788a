// SPDX-License-Identifier: GPL-2.0

//! Writes protobuf messages: fields of four kinds suffice here.

/// A message. Its methods append a field, by the number that the schema gives it.
#[derive(Default)]
pub struct Message(Vec<u8>);

impl Message {
    pub fn bytes(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u32, wire_type: u32) {
        self.varint(u64::from((field << 3) | wire_type));
    }

    /// A field of type `int32`, `int64`, `uint32`, `uint64`, `bool` or of an enum.
    pub fn int(mut self, field: u32, value: i64) -> Self {
        self.key(field, 0);
        self.varint(value as u64);
        self
    }

    pub fn fixed64(mut self, field: u32, value: u64) -> Self {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn double(self, field: u32, value: f64) -> Self {
        self.fixed64(field, value.to_bits())
    }

    pub fn text(self, field: u32, value: &str) -> Self {
        self.sized(field, value.as_bytes())
    }

    pub fn message(self, field: u32, value: Message) -> Self {
        self.sized(field, &value.0)
    }

    fn sized(mut self, field: u32, bytes: &[u8]) -> Self {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }
}
