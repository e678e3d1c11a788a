// SPDX-License-Identifier: GPL-2.0

//! Bugs to plant in the model.

/// A bug. Its doc comment names the patch of the same bug in `vm-test/bugs`, if it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// `wait_for_wakers` does not wait.
    NoGracePeriod,
    /// `wait_for_wakers` does not wait in a registration that fails.
    NoGracePeriodAfterAbort,
    /// `rcu_state` does not set `rcu_users`.
    RcuUsersNotSet,
    /// `visit` takes no reference.
    TasksNotKept,
    /// `end` does not disable CPU hotplug when it keeps the tasks.
    HotplugNotDisabled,
    /// `end` moves the state to `BUSY` only after the threads have exited.
    RetiredLate,
    /// `register` does not visit the threads that were woken before it completed.
    EarlyWakesForgotten,
    /// `wait_until_up` does not wait for a parked thread, which may be being unparked.
    ParkedNotWaitedFor,
    /// `wake` does not load the state a second time.
    NoSecondLook,
    /// `wake` loads the thread's state before it sets the flag.
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
    /// `claim` does not test whether the scope is closed.
    ClaimIgnoresClosed,
    /// The registering task undoes a registration that the scope ends.
    AbandonedUndoneTwice,
    /// `take` does not wait for nodes that other tasks own.
    CloseDoesNotWait,
    /// `retire` does not wait while the scope ends the registration.
    RetireDoesNotWait,
    /// `end` frees a registration that its owner has leaked.
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
