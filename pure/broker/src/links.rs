//! Links: the connections that this shard opens to other nodes, from the dial to the last word about them.
//!
//! Owns their numbers. Must never know what a request says.

use crate::seam::{LinkId, Output};
use crate::shard::Shard;
use bytes::Bytes;
use core::net::SocketAddr;
use log::Disk;
use std::collections::BTreeMap;
use types::Text;

/// The links that were dialed and have not ended.
#[derive(Default)]
pub(crate) struct Links {
    known: BTreeMap<LinkId, Link>,
    dialed: u64,
}

#[derive(Default)]
struct Link {
    /// Our end, once it stands.
    local: Option<SocketAddr>,
}

impl<D: Disk> Shard<D> {
    #[expect(dead_code, reason = "a lone node calls nobody")]
    pub(crate) fn dial(&mut self, host: Text, port: u16) -> LinkId {
        self.links.dialed += 1;
        let link = LinkId(self.links.dialed);
        self.links.known.insert(link, Link::default());
        self.out.push(Output::Dial { link, host, port });
        link
    }

    #[expect(dead_code, reason = "a lone node calls nobody")]
    pub(crate) fn send_link(&mut self, link: LinkId, frame: Bytes) {
        self.out.push(Output::SendLink { link, frame });
    }

    #[expect(dead_code, reason = "a lone node calls nobody")]
    pub(crate) fn hang_up(&mut self, link: LinkId) {
        self.links.known.remove(&link);
        self.out.push(Output::Hangup { link });
    }

    pub(crate) fn link_opened(&mut self, link: LinkId, local: SocketAddr) {
        if let Some(known) = self.links.known.get_mut(&link) {
            known.local = Some(local);
        }
    }

    pub(crate) fn link_received(&mut self, _link: LinkId, _frame: Bytes) {}

    pub(crate) fn link_closed(&mut self, link: LinkId, _reason: String) {
        self.links.known.remove(&link);
    }
}
