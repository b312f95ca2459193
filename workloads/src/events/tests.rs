//! Well-formed and malformed CSV.

use std::io::{self, Read};

use portcullis_engine::domain::{LeafSize, Permissions};
use portcullis_engine::ids::{DomainId, Iova, PhysAddr, RequesterId};
use portcullis_engine::replay::Event;
use portcullis_engine::request::Op;

use super::*;

const HEADER: &str = "time_ns,event,device,domain,iova,pa,size,perm,length,op\n";

fn read(text: impl AsRef<[u8]>) -> Result<Vec<Event>, EventError> {
    CsvEvents::new("trace.csv", text.as_ref())?.collect()
}

fn rows(rows: &str) -> Result<Vec<Event>, EventError> {
    read(format!("{HEADER}{rows}"))
}

/// The error of `text`, which must be at `place` and hold every one of `words`.
#[track_caller]
fn assert_error(result: Result<Vec<Event>, EventError>, place: &str, words: &[&str]) {
    let message = result.expect_err("an error").to_string();
    assert!(message.starts_with(&format!("{place}: ")), "at {place}: {message}");
    for word in words {
        assert!(message.contains(word), "{word:?} in: {message}");
    }
    assert!(!message.contains(|character: char| character.is_control()), "one printable line: {message:?}");
}

#[test]
fn every_event_reads() {
    let events = rows(
        "1,attach,0x10008,3,,,,,,\n\
         1,map,,3,0x1000,4096,4096,rw,,\n\
         2,map,,3,0x200000,0x400000,0x200000,none,,\n\
         ,dma,65544,,4096,,,,64,r\n\
         3,dma,65544,,0XFFFFFFFFFFFFFFFF,,,,0,w\n\
         3,unmap,,3,0x1000,,4096,,,\n\
         4,unmap_deferred,,3,0,,1073741824,,,\n\
         5,invalidate_page,,3,0x1000,,4096,,,\n\
         5,invalidate_domain,,4294967295,,,,,,\n\
         5,invalidate_all,,,,,,,,\n\
         6,detach,0x10008,,,,,,,\n",
    )
    .expect("well-formed");
    let (device, domain) = (RequesterId(0x1_0008), DomainId(3));
    assert_eq!(
        events,
        [
            Event::Attach { device, domain },
            Event::Map {
                domain,
                iova: Iova(0x1000),
                pa: PhysAddr(0x1000),
                size: LeafSize::Size4K,
                permissions: Permissions::ReadWrite
            },
            Event::Map {
                domain,
                iova: Iova(0x20_0000),
                pa: PhysAddr(0x40_0000),
                size: LeafSize::Size2M,
                permissions: Permissions::None
            },
            Event::Dma { device, iova: Iova(4096), length_bytes: 64, op: Op::Read },
            Event::Dma { device, iova: Iova(u64::MAX), length_bytes: 0, op: Op::Write },
            Event::Unmap { domain, iova: Iova(0x1000), size: LeafSize::Size4K },
            Event::UnmapDeferred { domain, iova: Iova(0), size: LeafSize::Size1G },
            Event::InvalidatePage { domain, iova: Iova(0x1000), size: LeafSize::Size4K },
            Event::InvalidateDomain { domain: DomainId(u32::MAX) },
            Event::InvalidateAll,
            Event::Detach { device },
        ]
    );
}

#[test]
fn columns_stand_in_any_order_and_unused_ones_may_be_missing() {
    let dma = [Event::Dma { device: RequesterId(8), iova: Iova(16), length_bytes: 4, op: Op::Write }];
    assert_eq!(read("op,length,iova,device,event\nw,4,16,8,dma\n").expect("well-formed"), dma);
    // Blanks, quotes, empty lines, line ends of other systems, no line end at the end, a byte order mark.
    let text = "\u{feff}\"op\", length ,iova,device,event\r\n\r\n w , 4,\"16\",8,dma";
    assert_eq!(read(text).expect("well-formed"), dma);
    assert_eq!(read(HEADER).expect("a trace without events"), []);
}

#[test]
fn batches_hold_what_is_asked_for() {
    let text = format!("{HEADER}{}", ",invalidate_all,,,,,,,,\n".repeat(5));
    let mut trace = CsvEvents::new("trace.csv", text.as_bytes()).expect("a header");
    let mut events = Vec::new();
    assert_eq!(trace.next_batch(&mut events, 2), Ok(true));
    assert_eq!(events.len(), 2);
    assert_eq!(trace.next_batch(&mut events, 3), Ok(true));
    assert_eq!(trace.next_batch(&mut events, 3), Ok(false));
    assert_eq!(events.len(), 5);
}

#[test]
fn nothing_is_read_after_an_error() {
    let text = format!("{HEADER},invalidate_all,,,,,,,,\n,nothing,,,,,,,,\n,invalidate_all,,,,,,,,\n");
    let mut trace = CsvEvents::new("trace.csv", text.as_bytes()).expect("a header");
    let mut events = Vec::new();
    trace.next_batch(&mut events, 10).expect_err("line 3 is malformed");
    assert_eq!((events.len(), trace.next()), (1, None));
}

#[test]
fn headers_that_are_none() {
    assert_error(read(""), "trace.csv", &["empty"]);
    assert_error(read("\n\n"), "trace.csv", &["empty"]);
    assert_error(read("event,devise\n"), "trace.csv:1", &["unknown column \"devise\"", "mean `device`?"]);
    assert_error(read("event,quux\n"), "trace.csv:1", &["unknown column \"quux\"", "length, op"]);
    assert_error(read("event,iova,event\n"), "trace.csv:1", &["`event` stands twice"]);
    assert_error(read("device,iova\n"), "trace.csv:1", &["no column `event`"]);
    assert_error(read("event,\n"), "trace.csv:1", &["unknown column \"\""]);
    assert_error(read("dma,8,16,4,w\n"), "trace.csv:1", &["unknown column"]);
    assert_error(read([0xFF, 0xFE, 0x00, 0x01]), "trace.csv:1", &["no text", "\\xff\\xfe"]);
    assert_error(read([0x50, 0x41, 0x52, 0x31, 0x00, 0x15, 0x04]), "trace.csv:1", &["unknown column"]);
    assert_error(read([0; 4096]), "trace.csv:1", &["unknown column", "\\x00"]);
}

#[test]
fn malformed_rows_name_line_and_cell() {
    let at = |line: usize| format!("trace.csv:{line}");
    for (row, words) in [
        (",dma,8,,,,,,64,r", &["`dma`", "`iova`"][..]),
        (",dma,8,,16,,,,,r", &["`dma`", "`length`"]),
        (",dma,8,3,16,,,,64,r", &["`dma`", "`domain`", "empty"]),
        (",map,,3,0,0,8192,rw,,", &["`size` is 8192", "2097152"]),
        (",map,,3,0,0,4096,wr,,", &["`perm` is \"wr\"", "none"]),
        (",dma,8,,16,,,,64,x", &["`op` is \"x\""]),
        (",move,8,,16,,,,64,r", &["`event` is \"move\"", "unmap_deferred"]),
        (",,8,,16,,,,64,r", &["`event` is empty"]),
        (",dma,8,,-16,,,,64,r", &["`iova` is \"-16\"", "0x"]),
        (",dma,8,,+16,,,,64,r", &["`iova` is \"+16\""]),
        (",dma,8,,1.5,,,,64,r", &["`iova` is \"1.5\""]),
        (",dma,8,,1_6,,,,64,r", &["`iova`"]),
        (",dma,8,,0x,,,,64,r", &["`iova` is \"0x\""]),
        (",dma,8,,0xG,,,,64,r", &["`iova`"]),
        (",dma,8,,ff,,,,64,r", &["`iova`"]),
        (",dma,8,,18446744073709551616,,,,64,r", &["`iova`", "2^64"]),
        (",dma,8,,0x10000000000000000,,,,64,r", &["`iova`", "2^64"]),
        (",dma,0x1000000,,16,,,,64,r", &["`device` is 16777216", "24 bits"]),
        (",attach,8,4294967296,,,,,,", &["`domain` is 4294967296", "32 bits"]),
        ("x,dma,8,,16,,,,64,r", &["`time_ns` is \"x\""]),
        ("4,dma,8,,16,,,,64,r", &["`time_ns`", "from 5 to 4"]),
        (",dma,8,,16,,,,64", &["9 cells", "10 columns"]),
        (",dma,8,,16,,,,64,r,", &["11 cells", "10 columns"]),
        ("dma", &["1 cells"]),
        (",\u{1b}[31m,,,,,,,,", &["`event`"]),
        (",dma,8,,\"16,,,,64,r", &["cells"]),
    ] {
        // The second event, after an empty line that counts as a line but not as a row.
        let text = format!("5,invalidate_all,,,,,,,,\n\n{row}\n");
        assert_error(rows(&text), &at(4), words);
        // Other line ends, none at the end, and rows after it, make no difference.
        assert_error(read(format!("{HEADER}{text}").replace('\n', "\r\n")), &at(4), words);
        assert_error(rows(text.trim_end_matches('\n')), &at(4), words);
        if !row.contains('"') {
            assert_error(rows(&format!("{text}\n,invalidate_all,,,,,,,,\n")), &at(4), words);
        }
    }
}

#[test]
fn binary_junk_in_a_row() {
    let mut text = format!("{HEADER},dma,8,,16,,,,64,").into_bytes();
    text.extend([0xFF, 0x00, b'\n']);
    assert_error(read(text), "trace.csv:2", &["op holds \"\\xff\\x00\"", "no text"]);
    let long = "9".repeat(10_000);
    let message = rows(&format!(",dma,8,,{long},,,,64,r\n")).expect_err("too many digits").to_string();
    assert!(message.len() < 250, "{message}");
}

#[test]
fn a_failure_to_read_says_so() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let header_then_broken = HEADER.as_bytes().chain(Broken);
    let error =
        CsvEvents::new("trace.csv", header_then_broken).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    assert_error(error, "trace.csv", &["cannot be read", "the disk is gone"]);
}
