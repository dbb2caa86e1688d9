//! Who holds the controller's office, as every shard knows it, and where nodes are reached.

use crate::peers::{Address, Lane};
use crate::seam::{ConnId, Message};
use crate::shard::Shard;
use bytes::Bytes;
use log::Disk;
use std::net::IpAddr;
use types::NodeId;

/// The active controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Office {
    pub holder: NodeId,
    pub epoch: i32,
    /// Where it is reached; none where it is this node.
    pub address: Option<Address>,
}

impl<D: Disk> Shard<D> {
    /// Tells all shards who is the active controller now.
    pub(crate) fn announce_office(&mut self, office: Option<Office>) {
        if self.office == office {
            return;
        }
        self.tell_other_shards(|| Message::Office(office.clone()));
        self.take_office(office);
    }

    pub(crate) fn take_office(&mut self, office: Option<Office>) {
        let last = std::mem::replace(&mut self.office, office);
        if let Some(to) = last.and_then(|last| last.address) {
            // A machine that lost power closed nothing: for seconds an answer of its last run would be waited for.
            for lane in [Lane::Heartbeat, Lane::Controller, Lane::Forward] {
                self.give_up_on(lane, &to);
            }
        }
        self.retry_forwarding();
    }

    /// Whether this node decides for the cluster.
    pub(crate) fn is_active_controller(&self) -> bool {
        self.office.as_ref().is_some_and(|office| office.holder == self.node.id)
    }

    /// Where the active controller is reached, where it is another node.
    pub(crate) fn controller_address(&self) -> Option<Address> {
        self.office.as_ref().and_then(|office| office.address.clone())
    }

    /// The active controller, as clients are told; any living broker will do while none is known.
    pub(crate) fn controller_id(&self) -> NodeId {
        self.office.as_ref().map_or(self.node.id, |office| office.holder)
    }

    /// Where a broker's first listener is.
    pub(crate) fn broker_address(&self, broker: NodeId) -> Option<Address> {
        let endpoint = self.image.broker(broker)?.endpoints.first()?;
        Some(Address { host: endpoint.host.clone(), port: endpoint.port })
    }

    /// The peer's address as an Envelope carries it.
    pub(crate) fn client_address(&self, connection: ConnId) -> Bytes {
        match self.sessions.get(&connection).map(|session| session.peer.address.ip()) {
            Some(IpAddr::V4(ip)) => Bytes::copy_from_slice(&ip.octets()),
            Some(IpAddr::V6(ip)) => Bytes::copy_from_slice(&ip.octets()),
            None => Bytes::new(),
        }
    }
}
