// SPDX-License-Identifier: GPL-2.0

//! Writes random inputs to a file at full speed.

use crate::calls::Agent;
use crate::files::errno;
use fastrand::Rng;
use nix::errno::Errno;
use std::fs::File;
use std::io::Write;
use wire::{Tally, Value};

/// Maximum length of an input: more than any file of the kernel takes in one write.
const LONG: usize = 70_000;

impl Agent {
    /// Ends with an error that invalid input does not explain.
    pub fn fuzz(
        &mut self,
        path: String,
        words: Vec<Vec<u8>>,
        seed: u64,
        times: u32,
    ) -> nix::Result<Value> {
        let mut random = Rng::with_seed(seed);
        let mut tally = Tally::default();
        for _ in 0..times {
            let mut file = File::options().write(true).open(&path).map_err(errno)?;
            match file.write(&input(&mut random, &words)).map_err(errno) {
                Ok(_) => tally.done += 1,
                Err(Errno::EIO | Errno::EFAULT | Errno::ENOMEM) => return Err(Errno::EIO),
                Err(_) => tally.refused += 1,
            }
        }
        Ok(Value::Tally(tally))
    }
}

fn input(random: &mut Rng, words: &[Vec<u8>]) -> Vec<u8> {
    let mut input = Vec::new();
    for _ in 0..*random.choice(&[1, 1, 1, 2, 3]).unwrap_or(&1) {
        match random.u32(..8) {
            0 => input.extend((0..random.usize(..40)).map(|_| random.u8(..))),
            1 => input.extend(random.u64(..).to_string().bytes()),
            _ => input.extend(random.choice(words).into_iter().flatten()),
        }
    }
    match random.u32(..12) {
        0 => input.truncate(random.usize(..=input.len())),
        1 => input.iter_mut().for_each(|byte| *byte ^= u8::from(random.u32(..10) == 0)),
        2 if random.u32(..20) == 0 => input = input.into_iter().cycle().take(LONG).collect(),
        3 => input.push(0),
        4.. => input.push(b'\n'),
        _ => {}
    }
    input
}
