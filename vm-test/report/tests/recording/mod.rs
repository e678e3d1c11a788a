// SPDX-License-Identifier: GPL-2.0

//! The recording of a real run: a VM with three CPUs under TCG, two of which were taken offline and
//! brought online.

use report::Recording;

pub fn recording() -> Recording {
    Recording {
        events_binary: include_bytes!("events_binary").to_vec(),
        trace: Some(include_bytes!("trace").to_vec()),
        summary: include_str!("summary").into(),
        latency_hist: [
            (0, include_str!("cpu0_latency_hist").to_owned()),
            (1, include_str!("cpu1_latency_hist").to_owned()),
            (2, include_str!("cpu2_latency_hist").to_owned()),
        ]
        .into(),
        ..Recording::default()
    }
}
