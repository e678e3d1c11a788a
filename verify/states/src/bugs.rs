// SPDX-License-Identifier: GPL-2.0

//! Bugs to plant in the model.

/// A bug. Those with a patch of the same name in `vm-test/bugs` say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// `wait_for_wakers` does not wait.
    NoGracePeriod,
    /// As above, only in a registration that fails.
    NoGracePeriodAfterAbort,
    /// `rcu_state` does not set `rcu_users`.
    RcuUsersNotSet,
    /// `visit` takes no reference.
    TasksNotKept,
    /// `end` does not disable CPU hotplug when it keeps the tasks.
    HotplugNotDisabled,
    /// `end` moves the state to `BUSY` when the threads are gone, not before.
    RetiredLate,
    /// `register` does not visit the threads that were woken before it was complete.
    EarlyWakesForgotten,
    /// `wait_until_up` does not wait for a thread that is parked, which it may be on its way out of that.
    ParkedNotWaitedFor,
    /// `wake` does not look at the state again.
    NoSecondLook,
    /// `wake` looks at the thread before it sets the flag.
    FlagSetLate,
    /// `vm-test/bugs/wake-without-flag.patch`
    WakeWithoutFlag,
    /// `vm-test/bugs/flag-cleared-after-the-work.patch`
    FlagClearedLate,
    /// `vm-test/bugs/wake-of-an-offline-cpu-dropped.patch`
    WakeOfOfflineCpuDropped,
    /// `vm-test/bugs/store-not-cleared.patch`
    StoreNotCleared,
    /// `vm-test/bugs/set-up-again-after-park.patch`
    SetUpAgainAfterPark,
    /// `vm-test/bugs/unpark-not-installed.patch`
    UnparkNotInstalled,
    /// `vm-test/bugs/cleanup-gets-online.patch`
    CleanupSaysOnline,
    /// `claim` does not look whether the scope is closed.
    ClaimIgnoresClosed,
    /// The registering task undoes a registration that the scope ends.
    AbandonedUndoneTwice,
    /// `take` does not wait for what other tasks own.
    CloseDoesNotWait,
    /// `retire` does not wait while the scope ends the registration.
    RetireDoesNotWait,
    /// `end` frees what its owner has leaked.
    LeakedFreed,
}

pub const ALL: [Bug; 22] = [
    Bug::NoGracePeriod,
    Bug::NoGracePeriodAfterAbort,
    Bug::RcuUsersNotSet,
    Bug::TasksNotKept,
    Bug::HotplugNotDisabled,
    Bug::RetiredLate,
    Bug::EarlyWakesForgotten,
    Bug::ParkedNotWaitedFor,
    Bug::NoSecondLook,
    Bug::FlagSetLate,
    Bug::WakeWithoutFlag,
    Bug::FlagClearedLate,
    Bug::WakeOfOfflineCpuDropped,
    Bug::StoreNotCleared,
    Bug::SetUpAgainAfterPark,
    Bug::UnparkNotInstalled,
    Bug::CleanupSaysOnline,
    Bug::ClaimIgnoresClosed,
    Bug::AbandonedUndoneTwice,
    Bug::CloseDoesNotWait,
    Bug::RetireDoesNotWait,
    Bug::LeakedFreed,
];
