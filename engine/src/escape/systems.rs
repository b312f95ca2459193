//! A batch of packets of each adapter: received, judged, dispatched, booked.

use core::cmp::Reverse;

use bevy_ecs::prelude::*;
use rayon::prelude::*;

use super::books::EscapeBooks;
use super::capture::CaptureBuffer;
use super::components::{
    ChannelBooks, ChannelOrder, Dispatched, EscapeBatch, EscapeChannel, EscapeFilter, EscapeRun,
    EscapeTraffic, GuestArena, Message, Stalls, Verdict,
};
use super::kernel::{Dispatch, DriverQueue, judge_packet};
use super::windows::ExclusiveWindows;
use crate::account::Timeline;
use crate::silence::{Escapes, Silence, Stall};
use crate::topology::{columns, columns_mut};

/// Packets that a thread judges at a time.
const CHUNK: usize = 256;

/// Takes the next packets of the channels of each adapter in the order of time, ties by channel, once those before are over.
pub fn receive(
    mut run: ResMut<EscapeRun>,
    mut adapters: Query<(&mut EscapeBatch, &mut GuestArena, &mut ChannelOrder, &mut Silence)>,
    mut channels: Query<&mut EscapeTraffic>,
    mut packets: Query<&mut Message>,
) {
    run.moved = false;
    let mut channels = columns_mut!(channels);
    let traffic = channels.bypass_change_detection();
    let mut messages = columns_mut!(packets);
    let messages = messages.bypass_change_detection();
    for (mut batch, mut arena, mut order, mut silence) in &mut adapters {
        let wanted_until = silence.escapes().map(|escapes| escapes.wanted_until()).unwrap_or_default();
        if batch.booked < batch.rows || batch.received_until >= run.until.max(wanted_until) {
            continue;
        }
        arena.0.clear();
        let mut rows = 0;
        while rows < batch.room && arena.0.len() < batch.bytes_max {
            let Some(Reverse((arrived, channel))) = order.0.pop() else { break };
            let source = &mut traffic[channel as usize].0;
            let offset = arena.0.len();
            source.emit(&mut arena.0);
            let bytes = (arena.0.len() - offset) as u32;
            messages[batch.first_row + rows] = Message { arrived, channel, offset: offset as u32, bytes };
            rows += 1;
            if let Some(next) = source.peek() {
                debug_assert!(next >= arrived, "a source sends in the order of time");
                order.0.push(Reverse((next, channel)));
            }
        }
        let next = order.0.peek().map(|Reverse((time, _))| *time);
        let received_until = next.unwrap_or(crate::units::Picoseconds::MAX);
        *batch = EscapeBatch { rows, judged: 0, dispatched: 0, booked: 0, received_until, ..*batch };
        run.moved = true;
    }
}

/// Copies, parses and judges the packets of each batch, chunks of them in parallel in the current rayon pool.
pub fn judge(
    filter: Single<&EscapeFilter>,
    mut adapters: Query<(&mut EscapeBatch, &GuestArena)>,
    channels: Query<&EscapeChannel>,
    mut packets: Query<(&Message, &mut Verdict)>,
) {
    let channels = columns!(channels);
    let (messages, mut verdicts) = columns_mut!(packets);
    let verdicts = verdicts.bypass_change_detection();
    for (mut batch, arena) in &mut adapters {
        if batch.judged == batch.rows {
            continue;
        }
        let rows = batch.places(batch.judged..batch.rows);
        batch.judged = batch.rows;
        let judge_chunk = |buffer: &mut CaptureBuffer, (messages, verdicts): (&[Message], &mut [Verdict])| {
            for (message, verdict) in messages.iter().zip(verdicts) {
                let begin = message.offset as usize;
                let memory = &arena.0[begin..begin + message.bytes as usize];
                let sender = &channels[message.channel as usize].sender;
                *verdict = judge_packet(&memory, sender, &filter.policy, buffer);
            }
        };
        let chunks = messages[rows.clone()].par_chunks(CHUNK).zip(verdicts[rows].par_chunks_mut(CHUNK));
        chunks.for_each_init(CaptureBuffer::default, judge_chunk);
    }
}

/// Gives the packets of each adapter their times, in order, as far as its windows and stalls are known.
pub fn dispatch(
    mut run: ResMut<EscapeRun>,
    filter: Single<&EscapeFilter>,
    mut channels: Query<(&EscapeChannel, &mut ChannelBooks)>,
    mut adapters: Query<(
        &mut EscapeBatch,
        &mut DriverQueue,
        &mut ExclusiveWindows,
        &mut Stalls,
        &mut Silence,
    )>,
    mut timeline: Single<&mut Timeline>,
    mut packets: Query<(&Message, &Verdict, &mut Dispatched)>,
) {
    let (channels, mut of_channels) = columns_mut!(channels);
    let of_channels = of_channels.bypass_change_detection();
    let (messages, verdicts, mut dispatched) = columns_mut!(packets);
    let dispatched = dispatched.bypass_change_detection();
    for (mut batch, mut queue, mut windows, mut stalls, mut silence) in &mut adapters {
        if let Some(stall) = silence.escapes().and_then(Escapes::take_over) {
            let row = batch.first_row + batch.dispatched;
            let Message { arrived, channel, .. } = messages[row];
            dispatched[row] = queue.stalled(stall.in_driver, &windows);
            batch.dispatched += 1;
            run.moved = true;
            timeline.stall(channels[channel as usize].vf, &stall.phases());
            if arrived >= filter.warm_up {
                let length = Stall::length(&stall);
                stalls.count(length);
                of_channels[channel as usize].stalls.count(length);
            }
        }
        let mut hangs_on_windows = None;
        while batch.dispatched < batch.rows && !silence.escapes().is_some_and(|of| of.is_stalling()) {
            let row = batch.first_row + batch.dispatched;
            let arrived = messages[row].arrived;
            match queue.dispatch(arrived, &verdicts[row].ruling, &windows, &filter.times) {
                Dispatch::Over(times) => dispatched[row] = times,
                Dispatch::Due(due) => {
                    let switching = silence.get().expect("an adapter that stalls has a silence");
                    switching.note_due_escape(due, queue.busy_until());
                    run.moved = true;
                    break;
                }
                Dispatch::NotKnown(ready) => {
                    hangs_on_windows = Some(ready);
                    break;
                }
            }
            windows.forget_until(arrived);
            batch.dispatched += 1;
            run.moved = true;
        }
        let Some(escapes) = silence.escapes().filter(|escapes| !escapes.is_stalling()) else { continue };
        let known_until = match hangs_on_windows {
            Some(ready) => ready,
            None => queue.ready_from(batch.received_until, &filter.times),
        };
        run.moved |= escapes.note(known_until, queue.busy_until());
    }
}

/// Counts the packets that are over.
pub fn book(
    filter: Single<(&EscapeFilter, &mut EscapeBooks)>,
    mut adapters: Query<&mut EscapeBatch>,
    mut channels: Query<(&EscapeChannel, &mut ChannelBooks)>,
    packets: Query<(&Message, &Verdict, &Dispatched)>,
) {
    let (filter, mut books) = filter.into_inner();
    let (channels, mut of_channels) = columns_mut!(channels);
    let of_channels = of_channels.bypass_change_detection();
    let (messages, verdicts, dispatched) = columns!(packets);
    for mut batch in &mut adapters {
        for row in batch.places(batch.booked..batch.dispatched) {
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
}
