//! What fields mean to Weir: the words behind `@` (roles of fields) and in `{}` (groups, roles of structures in arrays)
//! in `messages.txt`. Everything without such a word is stepped over without being looked at.

/// Declares an enum together with the word that `messages.txt` uses for each of its variants.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $word:literal = $variant:ident,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// The variant that `messages.txt` calls by this word.
            pub(super) fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

words! {
    /// What a field means.
    Role {
        /// Produce's `acks`.
        "acks" = Acks,
        /// Metadata may create the topics it asks for.
        "allow_auto_topic_creation" = AllowAutoTopicCreation,
        /// An API key that the broker serves.
        "api_key" = ApiKey,
        /// What the asker may do to what it stands beside, a bit for each of Kafka's operations (KIP-430).
        "authorized_operations" = AuthorizedOperations,
        /// The offset at which a produced batch was written.
        "base_offset" = BaseOffset,
        /// A configuration's name.
        "config_name" = ConfigName,
        /// A configuration's value; may be a secret.
        "config_value" = ConfigValue,
        /// Whose coordinator is looked for: a group, a transactional id, or a share partition, as `KeyType` says.
        "coordinator_key" = CoordinatorKey,
        /// A quota's entity: its name.
        "entity_name" = EntityName,
        /// A quota's entity: user, client-id or ip.
        "entity_type" = EntityType,
        /// Error code: of the whole response, or of the group it lies in.
        "error_code" = ErrorCode,
        /// Words beside the error code.
        "error_message" = ErrorMessage,
        /// Generation or member epoch of a group's member.
        "generation" = Generation,
        /// Name of a consumer, share or streams group.
        "group_id" = GroupId,
        /// High watermark.
        "high_watermark" = HighWatermark,
        /// A broker's host.
        "host" = Host,
        /// What kind of coordinator.
        "key_type" = KeyType,
        /// Node id of a partition's leader.
        "leader_id" = LeaderId,
        /// Log start offset.
        "log_start_offset" = LogStartOffset,
        /// Highest version of an API that the broker serves.
        "max_version" = MaxVersion,
        /// The most bytes that an answer should have, unless its first batch has more.
        "max_bytes" = MaxBytes,
        /// How long the broker may wait for data, ms.
        "max_wait_ms" = MaxWaitMs,
        /// Group member's id.
        "member_id" = MemberId,
        /// Lowest version of an API that the broker serves.
        "min_version" = MinVersion,
        /// A broker's node id.
        "node_id" = NodeId,
        /// An offset: fetched from, committed, found or deleted up to, as the API says.
        "offset" = Offset,
        /// Partition index.
        "partition" = Partition,
        /// A broker's port.
        "port" = Port,
        /// An ACL's principal.
        "principal" = Principal,
        /// Producer id.
        "producer_id" = ProducerId,
        /// A broker's rack.
        "rack" = Rack,
        /// Record batches.
        "records" = Records,
        /// Who fetches: -1 for a consumer, else a broker.
        "replica_id" = ReplicaId,
        /// A resource's name.
        "resource_name" = ResourceName,
        /// A resource's type: of configurations (ConfigResource.Type) or of ACLs (ResourceType), as the API says.
        "resource_type" = ResourceType,
        /// Something to be kept out of every recording: authentication bytes, salted passwords, token HMACs.
        "secret" = Secret,
        /// Epoch of a fetch or share session.
        "session_epoch" = SessionEpoch,
        /// Fetch session id.
        "session_id" = SessionId,
        /// How long a group's member may be silent before it counts as gone, ms.
        "session_timeout_ms" = SessionTimeoutMs,
        /// How long the client was or should be throttled, ms.
        "throttle_ms" = ThrottleMs,
        /// How long the broker may take, ms.
        "timeout_ms" = TimeoutMs,
        /// ListOffsets' timestamp: asked for or found, ms since the Unix epoch, or one of its negative sentinels.
        "timestamp" = Timestamp,
        /// A delegation token's id.
        "token_id" = TokenId,
        /// A topic's name.
        "topic" = Topic,
        /// A topic's id; all zero where there is none.
        "topic_id" = TopicId,
        /// A regular expression over topic names, evaluated by the broker.
        "topic_regex" = TopicRegex,
        /// Transactional id.
        "transactional_id" = TransactionalId,
        /// A user's name.
        "user" = User,
        /// The request asks only whether it would be carried out.
        "validate_only" = ValidateOnly,
    }
}

words! {
    /// What an element of an array of structures stands for.
    Group {
        /// An API and its versions.
        "api" = Api,
        /// A broker and its address.
        "broker" = Broker,
        /// A configuration entry.
        "config" = Config,
        /// A coordinator and its address.
        "coordinator" = Coordinator,
        /// One of several addresses of a node.
        "endpoint" = Endpoint,
        /// A topic that a fetch or share session is to drop.
        "forgotten_topic" = ForgottenTopic,
        /// A consumer, share or streams group.
        "group" = Group,
        /// A member of a group.
        "member" = Member,
        /// A partition.
        "partition" = Partition,
        /// A quota's entity and values.
        "quota" = Quota,
        /// A resource: of configurations or of ACLs.
        "resource" = Resource,
        /// An outcome of something else.
        "result" = Result,
        /// Where a configuration's value comes from.
        "synonym" = Synonym,
        /// A delegation token.
        "token" = Token,
        /// A topic.
        "topic" = Topic,
        /// A transaction.
        "transaction" = Transaction,
        /// A user's credentials.
        "user" = User,
    }
}
