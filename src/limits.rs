//! Every limit of the gateway, each with its reason. Sizes in bytes, times in their unit's suffix. Those that an
//! operator may want to change are in `config/limits.rs`.

use std::time::Duration;

// What clients may send.

/// Requests in flight on one connection. Brokers work on one request of a connection at a time, so more in flight buys
/// no speed; librdkafka pipelines without a bound of its own, and each entry keeps what the recording will say of it.
pub const IN_FLIGHT_MAX: usize = 512;

/// Answers given here that wait on one connection for the broker's answers before them, bytes: some thousand refusals. Who
/// has more coming is not read any more until they have left.
pub const ANSWERED_BYTES_MAX: usize = 1024 * 1024;

/// A refused request that is answered, bytes without its header: an answer names every item of it, and to write it takes
/// up to thirty times as much memory and some milliseconds of a shard. Larger ones end their connection, as does one whose
/// answer would be larger than [`ANSWERED_BYTES_MAX`].
pub const REFUSED_BODY_BYTES_MAX: usize = 256 * 1024;

/// A request's or response's header, bytes: a client id has 32 KiB at most and no tagged header field is defined, so
/// what has not ended by then is not waited for.
pub const HEADER_MAX: usize = 48 << 10;

/// Tagged fields in a request's or response's header: Kafka defines none, so this is room for what later versions add,
/// and few enough that reading a header costs next to nothing, whoever sends it.
pub const HEADER_TAGS_MAX: u32 = 16;

/// A SASL message, bytes: a JWT with hundreds of groups fits, a flood before login does not.
pub const SASL_MESSAGE_MAX: usize = 64 << 10;

/// After a client closed with requests in flight, or failed to log in again, how long the answers due are awaited.
pub const LINGER: Duration = Duration::from_secs(3);

/// A TLS handshake message of which not all is there yet, bytes: a chain of ten large certificates fits; each connection
/// in its handshake may hold as much.
pub const TLS_PARTIAL_BYTES_MAX: usize = 32 * 1024;

/// After a TLS handshake failed, how long what the client still sends is read and dropped: a close with bytes unread is a
/// reset, which takes the alert with it that tells the client why.
pub const TLS_FAREWELL: Duration = Duration::from_millis(500);

// Who clients are.

/// A JWT, bytes: directories that state hundreds of groups make some of 20 KiB.
pub const JWT_BYTES_MAX: usize = 32 << 10;

/// The name of a key in a JWT's header and in a JWKS, bytes: they are hashes in practice, 20 to 64 characters.
pub const JWT_KEY_ID_BYTES_MAX: usize = 256;

/// Groups a JWT may state. More are refused, not cut: a rule may forbid something to the one that would get lost.
pub const JWT_GROUPS_MAX: usize = 512;

/// A discovery document or a JWKS, bytes: with certificate chains some have 30 KiB.
pub const JWKS_BYTES_MAX: usize = 256 << 10;

/// Keys of an issuer: two or three while it rotates them, a handful for each of its algorithms.
pub const JWKS_KEYS_MAX: usize = 64;

/// How long one request to an identity provider may take.
pub const JWKS_FETCH_LIMIT: Duration = Duration::from_secs(5);

/// How often keys are fetched without a cause, where the issuer's `Cache-Control` says nothing.
pub const JWKS_REFRESH: Duration = Duration::from_secs(10 * 60);

/// Bounds of what the issuer's `Cache-Control` may ask for: a minute, so that it is not asked all the time; an hour, so
/// that a key it has taken back does not live on here.
pub const JWKS_REFRESH_BOUNDS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(60 * 60));

/// The longest wait before a failed fetch is tried again; the first is a second, each next one twice as long.
pub const JWKS_RETRY_MAX: Duration = Duration::from_secs(30);

/// At least so long between fetches that tokens with unknown keys cause: anybody can make up the name of a key.
pub const JWKS_REFRESH_PAUSE: Duration = Duration::from_secs(30);

/// How long a login waits for keys that are being fetched because of it: clients wait 10 s and more for an answer.
pub const JWKS_LOGIN_WAIT: Duration = Duration::from_secs(3);

/// Tokens of one subject that a SCRAM proof is checked against, some 5 µs each.
pub const SCRAM_TOKENS_MAX: usize = 64;

// What policies may ask.

/// Files of a policy that is a folder: a file a team or topic, and still read within a moment.
pub const POLICY_FILES_MAX: usize = 1000;

/// Access rules of a policy: each login is held against all of them, and each of them against the others when they are read.
pub const ACCESS_RULES_MAX: usize = 4096;

/// Masking rules of a policy: a set of them is a bit each, and the key under which what they compile to is kept.
pub const MASKING_RULES_MAX: usize = 512;

/// Field paths of all masking rules that may meet on one topic: what one search for names is measured with.
pub const MASKING_FIELDS_MAX: usize = 512;

/// Own patterns of all masking rules that may meet on one topic: each is a scan of its own over every string.
pub const MASKING_PATTERNS_MAX: usize = 8;

/// Sets of rules that a shard keeps what they compile to: a set is one of a kind of client on a kind of topic, some kilobytes
/// each.
pub const MASKING_PLANS_MAX: usize = 1024;

/// Topics of which a shard knows what rules come to there, each counted once for each kind of client: some 100 bytes each, and
/// clients name what topics they like.
pub const MASKING_TOPICS_KEPT_MAX: usize = 16 * 1024;

/// Bytes kept of a consumer group's name, where rules ask for groups: people's names for them have some tens, and each
/// connection keeps as many as [`CONNECTION_GROUPS_MAX`]. A longer one counts as not known.
pub const GROUP_NAME_BYTES_MAX: usize = 256;

/// Consumer groups that one connection may be a member of: clients have one connection a member. One more counts as not
/// known.
pub const CONNECTION_GROUPS_MAX: usize = 16;

/// Consumer groups that one session may be a member of by all its connections: each answer to a Fetch may be for any of
/// them, and the list is made anew with each that comes or goes. With more, none counts as known.
pub const SESSION_GROUPS_MAX: usize = 64;

/// How long a member of a consumer group may be silent that did not say how long itself: what brokers give it by default
/// (`group.consumer.session.timeout.ms`), and Java's clients ask for (`session.timeout.ms`).
pub const GROUP_MEMBER_SILENCE: Duration = Duration::from_secs(45);

/// How long what an older policy decided may still be on its way after a change: as long as clients wait for an answer by
/// default (`request.timeout.ms` of Kafka's clients).
pub const POLICY_DRAIN: Duration = Duration::from_secs(30);

/// Characters that a masking rule may leave of a value: more would be no mask.
pub const MASKING_KEPT_MAX: u64 = 64;

// SCRAM, whichever side Weir is on.

/// A SCRAM message, bytes: all of its fields at their longest, escaped and in base64.
pub const SCRAM_MESSAGE_MAX: usize = 8 * 1024;

/// A user name in SCRAM, bytes: longer than directories allow; Kafka has no limit of its own.
pub const SCRAM_USERNAME_MAX: usize = 1024;

/// Both nonces of a login together, bytes: libraries send 20 to 60 each.
pub const SCRAM_NONCE_MAX: usize = 1024;

/// A salt, bytes: Kafka's have 16 to 26.
pub const SCRAM_SALT_MAX: usize = 1024;

/// Fewest times a password is hashed: what RFC 7677 asks and Kafka enforces; a broker may not ask for a weaker proof.
pub const SCRAM_ITERATIONS_MIN: u32 = 4096;

/// Most times a password is hashed: 0.2 s (SHA-256) or 0.6 s (SHA-512) of one core; a broker may not make us burn more.
pub const SCRAM_ITERATIONS_MAX: u32 = 1_000_000;

// What is taken from brokers.

/// How long connecting and logging in to a broker may take before the client is told by a close; clients wait 10-30 s.
pub const UPSTREAM_CONNECT_WAIT: Duration = Duration::from_secs(5);

/// How long a token endpoint may take to answer; as long as connecting to a broker, since logins wait for the first token.
pub const TOKEN_FETCH_WAIT: Duration = Duration::from_secs(5);

/// Largest answer taken from a token endpoint, bytes: a token that fits [`SASL_MESSAGE_MAX`], and what is said about it.
pub const TOKEN_ANSWER_BYTES_MAX: usize = 128 * 1024;

/// How soon after a login Weir may log in again on the same connection: brokers refuse a second time within a second.
pub const RELOGIN_PAUSE: Duration = Duration::from_millis(1100);

/// Largest answer Weir's own Kafka client takes: a Metadata of 100,000 partitions is about 5 MiB; bytes.
pub const CLIENT_ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Brokers that a look asks side by side: those that hang cost the time of one, and a cluster of hundreds gets no burst.
pub const LOOKS_SIDE_BY_SIDE: usize = 16;

/// How long a request waits for a topic id to be looked up that was never met before, so that it is judged and recorded by
/// the topic's name. A look-up is a connection and three requests of a few ms each.
pub const TOPIC_LOOKUP_WAIT: Duration = Duration::from_secs(1);

/// Topic ids asked for in one Metadata request of our own; a client that makes ids up costs no more than this a time.
pub const TOPIC_LOOKUPS_MAX: usize = 256;

/// How long a question of a shard to the cluster may take, all in all: the client's request waits for it, and clients give up
/// after 10 s. Answers take some ms.
pub const INQUIRY_WAIT: Duration = Duration::from_secs(3);

/// How long a broker may take to be connected to, or to answer one of its requests: so that within [`INQUIRY_WAIT`] there is a
/// second try elsewhere.
pub const INQUIRY_CALL_WAIT: Duration = Duration::from_secs(1);

/// Questions of one who waits, and of a batch but for the last one's: a request of that many partitions is larger than any
/// client sends in practice.
pub const INQUIRY_QUESTIONS_MAX: usize = 4096;

/// Batches of questions on their way to a cluster side by side: one that waits for a broker that hangs holds up no others.
pub const INQUIRIES_SIDE_BY_SIDE: usize = 4;

/// Connections to a cluster for what Weir asks, at a time: one a broker for each batch, as long as brokers are few.
pub const INQUIRY_CONNECTIONS_MAX: usize = 16;

/// How long such a connection is kept for the next question.
pub const INQUIRY_IDLE: Duration = Duration::from_secs(10);

/// Brokers asked one after the other where any can answer.
pub const INQUIRY_BROKERS_TRIED: usize = 2;

/// How long a topic that exists is taken to exist: a topic that is deleted can be created again unasked for so long, and of a
/// thousand clients that start together one asks.
pub const TOPIC_EXISTS_KEPT: Duration = Duration::from_secs(1);

/// Topics remembered to exist; more are asked for again.
pub const TOPICS_EXISTING_KEPT_MAX: usize = 4096;

/// How long a broker may take for one request about what an action would come to: no client waits for it, and it asks for more.
pub const EFFECT_CALL_WAIT: Duration = Duration::from_secs(5);

/// How long it may take to find out what an action would come to; what is known by then is shown.
pub const EFFECT_WAIT: Duration = Duration::from_secs(20);

/// Groups of one broker whose positions are asked for: more than most clusters have, and a request for each hundred.
pub const EFFECT_GROUPS_MAX: usize = 500;

/// Facts that the effect of an action lists; nobody reads more, and a request may name thousands of topics.
pub const EFFECT_FACTS_MAX: usize = 200;

/// How far back it is looked who last wrote to a topic, in sessions that touched it, and events of each that are read for it.
pub const LAST_WRITER_LOOK: Duration = Duration::from_secs(30 * 24 * 3600);
/// See [`LAST_WRITER_LOOK`].
pub const LAST_WRITER_SESSIONS: usize = 50;
/// See [`LAST_WRITER_LOOK`].
pub const LAST_WRITER_EVENTS: usize = 20_000;

/// Longest answer taken from a broker: what its length prefix can say.
pub const RESPONSE_FRAME_BYTES_MAX: u64 = i32::MAX as u64;

/// Largest answer that is rewritten, which needs it whole: Metadata of about 300,000 partitions, and several times what
/// clients whose records are masked are let ask for; bytes.
pub const GATHERED_RESPONSE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Largest tail behind the records of a fetched answer: the endpoints of some 1,000 brokers; bytes.
pub const TAIL_BYTES_MAX: u64 = 128 * 1024;

// What masking takes.

/// How deep JSON may nest where values are masked; what nests deeper cannot be parsed. Generated schemas reach some 30,
/// parsers that recurse stop at 128 to 1,000, and each level costs some 100 bytes of a shard.
pub const JSON_DEPTH_MAX: usize = 128;

/// What a client whose records are masked may ask for in one Fetch: the answer is gathered, so that a shard's budget holds
/// eight at a time, and one takes some milliseconds; bytes. Kafka's clients ask for 50 MiB and mind getting less as little
/// as a broker minds giving less.
pub const MASKED_FETCH_BYTES_MAX: i32 = 8 * 1024 * 1024;

/// What one batch's records may inflate to when they are masked: far beyond what a batch of Kafka's default size (1 MiB)
/// honestly holds, and what a shard can bear to set aside for a moment, three times over; bytes.
pub const MASKED_INFLATED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a batch may grow to by masking. Brokers have a limit of their own (1 MiB by default, by topic) and enforce it; this
/// one bounds what a shard makes of it; bytes.
pub const MASKED_BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What the partitions of a frame may come to by masking: as much as the largest answer that is gathered, and a batch more;
/// bytes. A reader is given less and asks for the rest.
pub const MASKED_FRAME_BYTES_MAX: usize = GATHERED_RESPONSE_BYTES_MAX as usize;

/// Partitions of one Produce whose records are refused one by one, each of which is remembered until the answer comes: more
/// than clients write to at a time. A request with more of them ends its connection.
pub const REFUSED_PARTITIONS_MAX: usize = 1024;

/// Partitions of one frame whose records do not pass that the log names; the rest are counted.
pub const REFUSED_TOLD: usize = 16;

/// What an answer may come to without its records, where it was asked for before rules held for it and is too large to be
/// masked: some 10,000 partitions; bytes.
pub const EMPTIED_BYTES_MAX: u64 = 1024 * 1024;

// What a shard holds.

/// Read buffers of one direction on one shard: 256 connections that wait for a slow peer with a large buffer each, after
/// which others go on with small ones; bytes.
pub const SHARD_BUFFER_BYTES: usize = 64 * 1024 * 1024;

/// Gathered frames of one direction on one shard; at least twice the largest frame, so that one cannot stop all; bytes.
pub const SHARD_GATHER_BYTES: u64 = 64 * 1024 * 1024;

/// Frames of one direction on one shard that are gathered to be masked, and what has become of them until the peer has taken
/// it: apart from the others', so that who does not take what was masked holds up nobody else; bytes.
pub const SHARD_MASKED_BYTES: u64 = 64 * 1024 * 1024;

/// How long a peer may leave what was masked for it while others wait for the room that it takes: what a line of 10 Mbit/s
/// needs for [`MASKED_FETCH_BYTES_MAX`], and half as long again. Then its connection ends.
pub const MASKED_UNTAKEN: Duration = Duration::from_secs(10);

/// Gathered frames of logins and of ApiVersions on one shard, which anybody may send: apart from the others', so that who
/// has not logged in cannot hold what those need who have; some 70 of the largest, and thousands of usual ones; bytes.
pub const SHARD_LOGIN_BYTES: u64 = 8 * 1024 * 1024;

/// Bytes of an exchange's frames that are held until it is known whether a recording rule asks for them: heads and names
/// of some thousand partitions; what needs more is kept.
pub const CAPTURE_HELD_BYTES_MAX: u64 = 64 * 1024;

/// Bytes held so on one shard: a few hundred exchanges that need the most.
pub const SHARD_CAPTURE_HELD_BYTES: u64 = 16 * 1024 * 1024;

/// How long a connection waits before it tries again to append to a full journal; the writer needs about as long a block.
pub const JOURNAL_RETRY: Duration = Duration::from_millis(2);

/// Bytes that one call encrypts, a system call each: four records of the largest size. What the peer's socket does not take
/// of them stays with its connection.
pub const TLS_WRITE_BYTES: usize = 64 * 1024;

/// How often certificate files are looked at: soon enough for who waits for a new one to be taken, and a handful of calls
/// each time.
pub const FILES_LOOK: Duration = Duration::from_secs(3);

// What an event keeps.

/// Items kept per side of an exchange: enough for what clients ask in practice, and few enough that an event fits
/// [`EVENT_BYTES_MAX`] however many partitions a request names; the rest are counted.
pub const EVENT_ITEMS_MAX: usize = 64;

/// Bytes kept of a topic, group, user or client name: Kafka ends topic names at 249, other names are anybody's.
pub const EVENT_NAME_BYTES_MAX: usize = 256;

/// Bytes kept of a SASL mechanism's name as the client sent it: the registry's longest has 20.
pub const EVENT_MECHANISM_BYTES_MAX: usize = 64;

/// Bytes kept of a reason in words: a sentence or two for an operator.
pub const EVENT_REASON_BYTES_MAX: usize = 512;

/// Groups kept of an identity: directories that state more than this state roles, not groups.
pub const EVENT_GROUPS_MAX: usize = 64;

/// The longest encoded event: two sides of [`EVENT_ITEMS_MAX`] items with the longest name and every number at its
/// longest (about 41 KiB), rounded up.
pub const EVENT_BYTES_MAX: usize = 48 * 1024;

/// Bytes of a frame that one journal entry holds: an entry stays below [`EVENT_BYTES_MAX`], so that one limit holds for
/// both kinds, and its head is a thousandth of it.
pub const PIECE_BYTES_MAX: usize = 32 * 1024;

// What the recording holds.

/// Encoded bytes at which a block is closed: large enough to compress well and to make its index rows cheap, small enough
/// that reading one event does not inflate much.
pub const BLOCK_BYTES: usize = 64 * 1024;

/// What a block may inflate to: [`BLOCK_BYTES`] and the one event that went over, with its texts.
pub const BLOCK_INFLATED_BYTES_MAX: usize = 256 * 1024;

/// Bytes of frames at which a block of pieces is closed: a session's frames stand together in it, so this is about what is
/// read beside them; larger ones save nothing in size and cost more of that.
pub const PIECE_BLOCK_BYTES: usize = 256 * 1024;

/// What a block of pieces may inflate to: [`PIECE_BLOCK_BYTES`] and the one piece that went over.
pub const PIECE_BLOCK_INFLATED_BYTES_MAX: usize = PIECE_BLOCK_BYTES + PIECE_BYTES_MAX;

/// Pieces of one shard gathered before they are sorted into blocks: a few dozen blocks, so that busy connections fill
/// blocks of their own; bytes.
pub const PIECES_GATHERED_BYTES: usize = 4 * 1024 * 1024;

/// From a block's first event or piece to its last: readers look so far back for blocks that reach into their window.
pub const BLOCK_SPAN: Duration = Duration::from_secs(60);

/// A recorded frame comes in parts of this size: nearly all come whole, and the largest (2 GiB by Kafka's prefix) needs no
/// more memory than this to be read; bytes.
pub const FRAME_PART_BYTES: u64 = 16 * 1024 * 1024;

/// Parts of frames that wait, while a session is read, for one that began before them and is still on its way; beyond, that
/// one is given out as far as it came. A long poll holds back what other connections did meanwhile; some 30 MiB.
pub const FRAME_PARTS_WAITING_MAX: usize = 100_000;

/// The smallest journal of a shard: a handful of the longest events, so that a full one can drain while it fills.
pub const JOURNAL_BYTES_MIN: u64 = 1024 * 1024;

/// Journal bytes after which a shard wakes the writer before its tick: few wakes a second, small blocks avoided.
pub const JOURNAL_WAKE_BYTES: u64 = 512 * 1024;

/// Bytes of a node's name: it stands in every block.
pub const NODE_NAME_BYTES_MAX: usize = 64;

/// Rows gathered for one write of the store: bounds the writer's memory and what one failed write has to repeat.
pub const WRITE_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Topics a session names; the rest are counted. The list is rewritten with each block, so it stays short.
pub const SESSION_TOPICS_MAX: usize = 64;

/// Listeners a session names: a client bootstraps through few and then meets one address per broker.
pub const SESSION_LISTENERS_MAX: usize = 16;

/// Topics remembered per session and hour as indexed already; beyond, rows are written again (harmless, just work).
pub const SESSION_INDEXED_TOPICS_MAX: usize = 4096;

/// Blocks remembered of a connection that has not identified itself: a login takes a few; a connection that chats
/// through more is listed as unidentified until it does.
pub const UNIDENTIFIED_BLOCKS_MAX: usize = 64;

// What reading a recording takes.

/// What one batch's records may inflate to when they are shown: brokers bound a batch as it is compressed (1 MiB by
/// default, `message.max.bytes`), and honest text shrinks by tens, not by thousands; bytes.
pub const RECORDS_INFLATED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Recorded frames in one answer of the local socket, at least one frame; a page of a few megabytes keeps both ends busy
/// and neither large; bytes.
pub const FRAMES_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Names that one page of identities or topics looks at, those that earlier pages told included: some tenths of a second.
pub const NAMES_LOOKED_AT: usize = 20_000;

/// Frames that a command keeps because their exchanges come later: those of the slowest answers; bytes.
pub const FRAMES_AHEAD_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Blocks of events that a follower reads at a time: a few megabytes, and seconds of a busy gateway; the rest comes next.
pub const FOLLOW_BLOCKS: usize = 64;

/// Requests without an outcome that a follower keeps for one session: as many as eight connections may have in flight.
pub const FOLLOW_NOTES: usize = 8 * IN_FLIGHT_MAX;

/// How often a follower looks for what is new; the recording itself is written every 250 ms.
pub const FOLLOW_TICK: Duration = Duration::from_millis(150);

/// The longest frame whose records are shown: above what clients may send and brokers answer by default (100 MiB and 50);
/// bytes.
pub const SHOWN_FRAME_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// How long a process that is about to abort waits for its last log line to be written by the thread that does.
pub const LAST_WORDS: Duration = Duration::from_millis(100);

/// How long a start waits for addresses in use: the kernel gives those of a gateway that was killed on io_uring back a
/// moment after its death, and a supervisor that starts it again at once must not fail over that.
pub const PORTS_WAIT: Duration = Duration::from_secs(2);

/// How long it waits between two looks.
pub const PORTS_PAUSE: Duration = Duration::from_millis(50);

/// Names of topics whose rights a connection keeps, and as many of groups and of transactional ids: clients have a few
/// hundred; more are looked up again.
pub const KNOWN_RIGHTS_MAX: usize = 1024;

/// Fetch sessions, and share sessions, that a connection is known to have opened: clients have one a broker (KIP-227), and open
/// another when one is not known.
pub const SESSIONS_KNOWN_MAX: usize = 16;

/// What an item that Weir answers itself takes while it waits for the broker's answer, at the most: its names, an error
/// message, and what is around them; bytes, out of the budget of requests.
pub const ANSWERED_ITEM_BYTES: u64 = 1024;

// What is held for approval.

/// Requests of one person that may be undecided: nobody reviews more, and a client that tries again joins its own.
pub const PENDING_REQUESTS_OF_ONE_MAX: usize = 64;

/// Requests of all that may be undecided: what reviewers of a large organisation can look through in a day.
pub const PENDING_REQUESTS_MAX: usize = 4096;

/// For how long the same action is answered by the denial it got, ns: clients try again, and reviewers are not asked again by
/// them. A person asks again with `weir request`.
pub const DENIAL_STANDS_NS: u64 = 10 * 60 * 1_000_000_000;

/// Events that one page over all sessions looks at, whether or not they are what is asked for: a second's work.
pub const EVENTS_LOOKED_AT_MAX: usize = 20_000;

/// Sessions that one such page looks into; each that is shown is a look, which takes a write of the disk.
pub const EVENT_SESSIONS_MAX: usize = 100;

/// Bytes kept of a reason or a comment: a paragraph.
pub const APPROVAL_TEXT_BYTES_MAX: usize = 2048;

/// Exchanges that ask at the same moment; each takes a write of the disk at most.
pub const ASKED_AT_ONCE_MAX: usize = 1024;

/// Bytes of names and parameters that one action may have: pages of them; nobody approves what nobody can read.
pub const ACTION_BYTES_MAX: usize = 64 * 1024;

/// Actions that one request may hold; each is compared with rules and named in the request's answer.
pub const HELD_ACTIONS_MAX: usize = 4096;

/// Those of them that are asked for at once: a reviewer's day. The others are when these are decided.
pub const ASKED_BY_ONE_MAX: usize = 64;

/// Requests of one shard that wait for approval; bytes. A delete of topics has some hundred, a batch of records a megabyte.
pub const SHARD_HELD_BYTES: u64 = 32 * 1024 * 1024;

/// How long a request waits at most that does not say how long its client does: most give up after 10 s, and members' heartbeats
/// share the connection.
pub const HELD_MAX: Duration = Duration::from_secs(8);

/// What is left of the time that a request gives, for its answer to get back.
pub const HELD_MARGIN: Duration = Duration::from_secs(1);

/// How long a held Fetch waits at most, whatever its client says: consumers have other work on the connection.
pub const HELD_FETCH_MAX: Duration = Duration::from_secs(5);

/// How long the desk may take to answer; a write of the disk takes milliseconds.
pub const DESK_WAIT: Duration = Duration::from_secs(3);

/// Identities whose reading and writing is counted; a large organisation's, and some hundred bytes each.
pub const READERS_MAX: usize = 16 * 1024;

/// Topics of one identity whose volumes are counted. Of more, those with the least are forgotten: what a client made up is.
pub const TOPICS_COUNTED_MAX: usize = 4096;

/// Partitions of one identity of which it is known how far they were read: a consumer of a large cluster's.
pub const PARTITIONS_READ_MAX: usize = 64 * 1024;

/// Minutes that volumes are counted for: as far as a rule may look back, and one more.
pub const VOLUME_MINUTES: u64 = 24 * 60 + 1;

/// How long is waited for what a cluster has to say before it is known whether something is held; then it is held.
pub const QUESTIONS_WAIT: Duration = Duration::from_secs(3);

// Webhooks.

/// How long a receiver may take to answer a webhook, connecting included: Standard Webhooks asks for 15 to 30 s at the most;
/// whoever does its work after the answer needs a fraction of a second.
pub const WEBHOOK_WAIT: Duration = Duration::from_secs(15);

/// How long a connection to it may take.
pub const WEBHOOK_CONNECT_WAIT: Duration = Duration::from_secs(5);

/// What is read of a receiver's answer, bytes: `ok`, or an error in a sentence.
pub const WEBHOOK_ANSWER_BYTES_MAX: usize = 4096;

/// A CloudEvent, bytes: receivers take at least 64 KiB (CloudEvents 1.0, size limits). What a request for thousands of topics
/// names beyond is counted.
pub const WEBHOOK_EVENT_BYTES_MAX: usize = 64 * 1024;

/// The longest wait that a receiver can ask for with `Retry-After`.
pub const WEBHOOK_RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// Notices that a webhook takes from the store at a time.
pub const WEBHOOK_BATCH: usize = 64;

/// Dead letters kept of one webhook; the oldest go first.
pub const DEAD_LETTERS_MAX: usize = 1000;

/// How long a dead letter is kept.
pub const DEAD_LETTER_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long a notice waits for a webhook that cannot be delivered to: a long weekend and its repair. Older ones are of no use
/// to whoever should have decided.
pub const NOTICE_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How often notices that nobody waits for any more are removed.
pub const NOTICE_UPKEEP: Duration = Duration::from_secs(60);

// What the control API's users may ask for. Who asks for more waits or is told so; the data plane does not notice.

/// Items of a page where nobody says how many, and at most.
pub const API_PAGE: usize = 100;
/// See [`API_PAGE`]: an answer of a megabyte or so.
pub const API_PAGE_MAX: usize = 1000;

/// A request's body, bytes: a policy of thousands of rules fits.
pub const API_BODY_BYTES_MAX: usize = 1024 * 1024;

/// A request's head, bytes: a JWT with hundreds of groups fits.
pub const API_HEAD_BYTES_MAX: usize = 2 * JWT_BYTES_MAX;

/// How long a client may take for a request's head, and stay connected without asking anything.
pub const API_HEAD_WAIT: Duration = Duration::from_secs(15);

/// How long a connection may take nothing of an answer, or send nothing of a body: who is that slow is not reading.
pub const API_STALL: Duration = Duration::from_secs(15);

/// How long a request may take; above [`POLICY_DRAIN`], which a reload waits for.
pub const API_REQUEST_WAIT: Duration = Duration::from_secs(45);

/// Connections to the control plane's address. Monitoring needs a handful.
pub const CONTROL_CONNECTIONS_MAX: usize = 256;

/// Requests that are worked on side by side: each may read the store on a thread of its own.
pub const API_SIDE_BY_SIDE: usize = 16;

/// Requests of one caller: so many at once, and so many a second in the long run.
pub const API_CALLER_BURST: u32 = 200;
/// See [`API_CALLER_BURST`].
pub const API_CALLER_PER_SECOND: u32 = 50;

/// Failed logins of one address (of IPv6 a /64): so many at once, and one more every so often.
pub const API_FAILURES_BURST: u32 = 10;
/// See [`API_FAILURES_BURST`].
pub const API_FAILURE_EVERY: Duration = Duration::from_secs(6);

/// How long what has logged in once is checked although others fail from the same address too often.
pub const API_LOGIN_REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// Callers and addresses whose requests are counted; the ones heard of longest ago are forgotten first.
pub const API_COUNTED_MAX: usize = 10_000;

/// How long the same caller's looks at the same session the same way count as one: a page after the other is one look.
pub const LOOK_SPAN: Duration = Duration::from_secs(60);

/// Looks that may be gone on with; above that each is noted.
pub const LOOKS_KNOWN_MAX: usize = 10_000;

/// Held actions of which it waits to be found out what they come to; those beyond say that it was not.
pub const EFFECTS_WAITING_MAX: usize = 256;

/// Of which it is found out at the same time: each asks every broker a few questions.
pub const EFFECTS_SIDE_BY_SIDE: usize = 4;

/// Topics of share sessions that a connection is known to read, where reading is held; clients subscribe to a few.
pub const SHARED_TOPICS_MAX: usize = 1024;
