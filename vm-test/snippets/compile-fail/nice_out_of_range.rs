//! A nice value is in its range.
//~ ERROR nice values go from -20 to 19
pub const TOO_NICE: smpboot::Nice = smpboot::Nice::new::<20>();
