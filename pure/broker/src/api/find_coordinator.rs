//! FindCoordinator 0 to 6: which broker looks after a group.
//!
//! 1 has key types, 3 is flexible, 4 asks for several keys at once (KIP-699), 5 and 6 belong to transactions and share
//! groups. The topic that holds groups is created when it is first asked for.

use super::{ControllerWork, Disk, Outcome, Request, Shard, Step, Work};
use ::metadata::names::CONSUMER_OFFSETS;
use types::{ErrorCode, Text};
use wire::find_coordinator_response::Coordinator;
use wire::{FindCoordinatorRequest, FindCoordinatorResponse};

const GROUP: i8 = 0;

pub(crate) fn start<D: Disk>(shard: &mut Shard<D>, request: Request, asked: FindCoordinatorRequest) -> Step<D> {
    let keys = if request.version >= 4 { asked.coordinator_keys } else { vec![asked.key] };
    let key_type = asked.key_type;
    if key_type != GROUP || shard.image.topic_by_name(CONSUMER_OFFSETS).is_some() {
        return answer(shard, &request, key_type, keys, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    }
    let names = vec![Text::from_static(CONSUMER_OFFSETS)];
    let create = Work::Controller(Box::new(ControllerWork::AutoCreate(names)));
    Step::one(create, move |shard, outcome| {
        let failure = match outcome {
            Outcome::Controller(_) => ErrorCode::COORDINATOR_NOT_AVAILABLE,
            other => other.into_failure().0,
        };
        answer(shard, &request, key_type, keys, failure)
    })
}

fn answer<D: Disk>(
    shard: &mut Shard<D>,
    request: &Request,
    key_type: i8,
    keys: Vec<Text>,
    failure: ErrorCode,
) -> Step<D> {
    let mut coordinators: Vec<Coordinator> =
        keys.into_iter().map(|key| coordinator(shard, request, key_type, key, failure)).collect();
    for entry in &coordinators {
        shard.figures.error(request.key, entry.error_code);
    }
    if request.version >= 4 {
        return request.reply(&FindCoordinatorResponse { coordinators, ..Default::default() });
    }
    let only = coordinators.pop().unwrap_or_default();
    request.reply(&FindCoordinatorResponse {
        error_code: only.error_code,
        error_message: only.error_message,
        node_id: only.node_id,
        host: only.host,
        port: only.port,
        ..Default::default()
    })
}

fn coordinator<D: Disk>(
    shard: &Shard<D>,
    request: &Request,
    key_type: i8,
    key: Text,
    failure: ErrorCode,
) -> Coordinator {
    let refused = |error_code, message: &str| Coordinator {
        key: key.clone(),
        node_id: -1,
        port: -1,
        error_code,
        error_message: (!message.is_empty()).then(|| Text::from(message)),
        ..Default::default()
    };
    if key_type != GROUP {
        let what = if key_type == 1 { "transactions" } else { "share groups" };
        let message = format!("this broker does not serve {what} yet");
        return refused(ErrorCode::INVALID_REQUEST, &message);
    }
    let leader = shard.group_partition(&key).and_then(|partition| shard.image.partition(partition));
    let Some(leader) = leader.and_then(|partition| partition.leader) else {
        return refused(failure, "the topic that holds groups is being created");
    };
    let brokers = shard.reachable_brokers(request.slot.connection);
    match brokers.into_iter().find(|broker| broker.id == leader) {
        Some(broker) => Coordinator {
            key,
            node_id: broker.id.0,
            host: broker.host,
            port: i32::from(broker.port),
            ..Default::default()
        },
        None => refused(ErrorCode::COORDINATOR_NOT_AVAILABLE, "the group's coordinator has no leader at the moment"),
    }
}
