//! A batch of packets: received, judged, dispatched, booked.

use core::cmp::Reverse;

use bevy_ecs::prelude::*;
use rayon::prelude::*;

use super::books::EscapeBooks;
use super::capture::CaptureBuffer;
use super::components::{
    BATCH_BYTES, BATCH_PACKETS, ChannelBooks, ChannelOrder, Dispatched, EscapeBatch, EscapeChannel,
    EscapeFilter, EscapeTraffic, GuestArena, Message, Stalls, Verdict,
};
use super::kernel::{DriverQueue, judge_packet};
use super::windows::ExclusiveWindows;
use crate::topology::{columns, columns_mut};
use crate::units::Picoseconds;

/// Packets that a thread judges at a time.
const CHUNK: usize = 256;

/// Takes the next packets of all channels in the order of time, ties by channel, once those before are over.
pub fn receive(
    mut batch: ResMut<EscapeBatch>,
    filter: Single<(&mut GuestArena, &mut ChannelOrder)>,
    mut channels: Query<&mut EscapeTraffic>,
    mut packets: Query<&mut Message>,
) {
    if batch.booked < batch.rows {
        return;
    }
    let (mut arena, mut order) = filter.into_inner();
    let mut channels = columns_mut!(channels);
    let traffic = channels.bypass_change_detection();
    let mut messages = columns_mut!(packets);
    let messages = messages.bypass_change_detection();
    arena.0.clear();
    let mut rows = 0;
    while rows < BATCH_PACKETS && arena.0.len() < BATCH_BYTES {
        let Some(Reverse((arrived, channel))) = order.0.pop() else { break };
        let source = &mut traffic[channel as usize].0;
        let offset = arena.0.len();
        source.emit(&mut arena.0);
        let bytes = (arena.0.len() - offset) as u32;
        messages[rows] = Message { arrived, channel, offset: offset as u32, bytes };
        rows += 1;
        if let Some(next) = source.peek() {
            debug_assert!(next >= arrived, "a source sends in the order of time");
            order.0.push(Reverse((next, channel)));
        }
    }
    let next = order.0.peek().map(|Reverse((time, _))| *time);
    *batch = EscapeBatch { rows, dispatched: 0, booked: 0, received_until: next.unwrap_or(Picoseconds::MAX) };
}

/// Copies, parses and judges the packets of a batch, chunks of them in parallel in the current rayon pool.
pub fn judge(
    batch: Res<EscapeBatch>,
    filter: Single<(&GuestArena, &EscapeFilter)>,
    channels: Query<&EscapeChannel>,
    mut packets: Query<(&Message, &mut Verdict)>,
) {
    // What is carried over was judged before.
    if batch.dispatched > 0 || batch.rows == 0 {
        return;
    }
    let (arena, filter) = filter.into_inner();
    let channels = columns!(channels);
    let (messages, mut verdicts) = columns_mut!(packets);
    let (messages, verdicts) =
        (&messages[..batch.rows], &mut verdicts.bypass_change_detection()[..batch.rows]);
    let judge_chunk = |buffer: &mut CaptureBuffer, (messages, verdicts): (&[Message], &mut [Verdict])| {
        for (message, verdict) in messages.iter().zip(verdicts) {
            let begin = message.offset as usize;
            let memory = &arena.0[begin..begin + message.bytes as usize];
            let sender = &channels[message.channel as usize].sender;
            *verdict = judge_packet(&memory, sender, &filter.policy, buffer);
        }
    };
    let chunks = messages.par_chunks(CHUNK).zip(verdicts.par_chunks_mut(CHUNK));
    chunks.for_each_init(CaptureBuffer::default, judge_chunk);
}

/// Gives packets their times, in order, as far as the windows of their adapters are known.
pub fn dispatch(
    mut batch: ResMut<EscapeBatch>,
    filter: Single<&EscapeFilter>,
    channels: Query<&EscapeChannel>,
    mut adapters: Query<(&mut DriverQueue, &mut ExclusiveWindows, &mut Stalls)>,
    mut packets: Query<(&Message, &Verdict, &mut Dispatched)>,
) {
    let channels = columns!(channels);
    let (mut queues, mut windows, mut stalls) = columns_mut!(adapters);
    let queues = queues.bypass_change_detection();
    let windows = windows.bypass_change_detection();
    let stalls = stalls.bypass_change_detection();
    stalls.iter_mut().for_each(|stalls| stalls.spans.clear());
    let (messages, verdicts, mut dispatched) = columns_mut!(packets);
    let dispatched = dispatched.bypass_change_detection();
    for row in batch.dispatched..batch.rows {
        let Message { arrived, channel, .. } = messages[row];
        let adapter = channels[channel as usize].adapter as usize;
        let ruling = &verdicts[row].ruling;
        let Some((times, stall)) =
            queues[adapter].dispatch(arrived, ruling, &windows[adapter], &filter.times)
        else {
            break;
        };
        dispatched[row] = times;
        stalls[adapter].note(stall, arrived >= filter.warm_up);
        windows[adapter].forget_until(arrived);
        batch.dispatched = row + 1;
    }
}

/// Counts the packets that are over.
pub fn book(
    mut batch: ResMut<EscapeBatch>,
    filter: Single<(&EscapeFilter, &mut EscapeBooks)>,
    mut channels: Query<(&EscapeChannel, &mut ChannelBooks)>,
    packets: Query<(&Message, &Verdict, &Dispatched)>,
) {
    let (filter, mut books) = filter.into_inner();
    let (channels, mut of_channels) = columns_mut!(channels);
    let of_channels = of_channels.bypass_change_detection();
    let (messages, verdicts, dispatched) = columns!(packets);
    for row in batch.booked..batch.dispatched {
        let (message, verdict) = (&messages[row], &verdicts[row]);
        if message.arrived < filter.warm_up {
            continue;
        }
        let channel = &channels[message.channel as usize];
        of_channels[message.channel as usize].count(verdict);
        books.count((channel.class, channel.sender.kind), message, verdict, &dispatched[row]);
    }
    batch.booked = batch.dispatched;
}
