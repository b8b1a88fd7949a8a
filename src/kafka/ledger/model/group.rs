//! A consumer group: which replica has which partition, as the group sees it. Replicas hear of it when they poll.

use std::collections::{BTreeSet, VecDeque};

use crate::core::ownership::OwnershipInput;

#[derive(Debug, Default)]
pub(super) struct Group {
    members: BTreeSet<usize>,
    owners: Vec<Option<usize>>,
    /// Partitions that their owner has to give up, and who gets them then. The inner `None`: nobody yet.
    revoked: Vec<Option<Option<usize>>>,
    /// What each replica has not heard of yet.
    inboxes: Vec<VecDeque<OwnershipInput>>,
}

impl Group {
    pub(super) fn new(partitions: u16, replicas: usize) -> Self {
        let partitions = usize::from(partitions);
        Self {
            members: (0..replicas).collect(),
            owners: vec![None; partitions],
            revoked: vec![None; partitions],
            inboxes: vec![VecDeque::new(); replicas],
        }
    }

    pub(super) fn poll(&mut self, replica: usize) -> Option<OwnershipInput> {
        let input = self.inboxes[replica].pop_front();
        // The client joins again when it hears that it was away.
        if let Some(OwnershipInput::Lost(_)) = input {
            self.members.insert(replica);
        }
        input
    }

    pub(super) fn has_news(&self, replica: usize) -> bool {
        !self.inboxes[replica].is_empty()
    }

    /// Whether every partition has an owner that has heard of it.
    pub(super) fn is_settled(&self) -> bool {
        let heard = self.inboxes.iter().all(VecDeque::is_empty);
        heard && self.owners.iter().all(Option::is_some) && self.revoked.iter().all(Option::is_none)
    }

    /// Gives a partition to the `choice`-th member.
    pub(super) fn assign(&mut self, partition: usize, choice: usize) {
        if self.members.is_empty() || self.revoked[partition].is_some() {
            return;
        }
        let Some(target) = self.members.iter().nth(choice % self.members.len()) else {
            return;
        };
        match self.owners[partition] {
            Some(owner) if owner == *target => {
                // Groups repeat themselves.
                let again = OwnershipInput::Assigned(vec![]);
                self.inboxes[owner].push_back(again);
            }
            Some(owner) => {
                let revoked = OwnershipInput::Revoked(vec![partition as u16]);
                self.inboxes[owner].push_back(revoked);
                self.revoked[partition] = Some(Some(*target));
            }
            None => self.give(partition, Some(*target)),
        }
    }

    /// Gives partitions without an owner to members.
    pub(super) fn assign_rest(&mut self) {
        for partition in 0..self.owners.len() {
            if self.owners[partition].is_none() {
                self.assign(partition, partition);
            }
        }
    }

    pub(super) fn confirm(&mut self, replica: usize, partition: u16) {
        let at = usize::from(partition);
        if self.owners[at] == Some(replica)
            && let Some(target) = self.revoked[at].take()
        {
            self.give(at, target);
        }
    }

    /// A replica leaves and joins again: its partitions are taken from it first.
    pub(super) fn rejoin(&mut self, replica: usize) {
        for partition in 0..self.owners.len() {
            if self.owners[partition] == Some(replica) && self.revoked[partition].is_none() {
                let revoked = OwnershipInput::Revoked(vec![partition as u16]);
                self.inboxes[replica].push_back(revoked);
                self.revoked[partition] = Some(None);
            }
        }
    }

    /// The session of a replica that does not poll ends.
    pub(super) fn expire(&mut self, replica: usize) {
        if !self.members.remove(&replica) {
            return;
        }
        let mut lost = Vec::new();
        for partition in 0..self.owners.len() {
            if self.owners[partition] == Some(replica) {
                self.owners[partition] = None;
                self.revoked[partition] = None;
                lost.push(partition as u16);
            }
        }
        self.inboxes[replica].push_back(OwnershipInput::Lost(lost));
    }

    /// A new process takes the place of one that is dead.
    pub(super) fn restart(&mut self, replica: usize) {
        self.expire(replica);
        self.inboxes[replica].clear();
        self.members.insert(replica);
    }

    fn give(&mut self, partition: usize, target: Option<usize>) {
        let target = target.filter(|target| self.members.contains(target));
        self.owners[partition] = target;
        if let Some(target) = target {
            let assigned = OwnershipInput::Assigned(vec![partition as u16]);
            self.inboxes[target].push_back(assigned);
        }
    }
}
