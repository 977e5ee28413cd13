// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title The anchoring contract of a consortium: roots of batches, each with its submitter, size, digest and time.
/// @notice It stands in the genesis at a fixed address, with its administrator and writers already in storage. It has
/// no constructor, no upgrade, no delegatecall and no way to change or delete an entry.
contract Anchor {
    /// One slot. `seq` starts at 1, so an entry without it does not exist.
    struct Entry {
        uint64 seq;
        uint64 size;
        uint64 time;
        uint64 blockNumber;
    }

    /// A root was anchored. `previousAccumulator` is the accumulator before it.
    event Anchored(
        bytes32 indexed root,
        uint64 indexed seq,
        address indexed submitter,
        uint64 size,
        bytes32 batchDigest,
        bytes32 previousAccumulator
    );
    /// The statement `oldStatement` gives way to `newStatement` (zero: to nothing), says `submitter`.
    event Superseded(
        bytes32 indexed oldStatement,
        bytes32 indexed newStatement,
        address indexed submitter,
        uint8 reason
    );
    event WriterSet(address indexed writer, bool allowed);
    event AdminChanged(address indexed previousAdmin, address indexed newAdmin);
    event Paused(bool paused);

    error NotWriter(address sender);
    error NotAdmin(address sender);
    error AnchoringPaused();
    error EmptyBatch();
    error DifferentBatch(address submitter, bytes32 root);
    error LengthsDiffer();

    // `admin`, `paused` and `lastSeq` share a slot: anchoring reads and writes it once.
    address public admin;
    bool public paused;
    uint64 private lastSeq;
    address public pendingAdmin;
    bytes32 private accumulator;
    mapping(address writer => bool allowed) public isWriter;
    mapping(address submitter => mapping(bytes32 root => Entry entry)) private entries;
    mapping(address submitter => mapping(bytes32 root => bytes32 digest)) private batchDigests;

    modifier onlyWriter() {
        if (!isWriter[msg.sender]) revert NotWriter(msg.sender);
        _;
    }

    modifier onlyAdmin() {
        if (msg.sender != admin) revert NotAdmin(msg.sender);
        _;
    }

    /// Anchor the root of a batch. The same batch again changes nothing and returns its first `seq`; the same root with
    /// another size or digest is refused.
    function anchor(bytes32 root, uint64 size, bytes32 batchDigest) external onlyWriter returns (uint64 seq) {
        return _anchor(root, size, batchDigest);
    }

    /// Anchor several batches in order, all or none; returns the `seq` of the first.
    function anchorMany(bytes32[] calldata roots, uint64[] calldata sizes, bytes32[] calldata digests)
        external
        onlyWriter
        returns (uint64 firstSeq)
    {
        uint256 count = roots.length;
        if (count == 0 || sizes.length != count || digests.length != count) revert LengthsDiffer();
        firstSeq = _anchor(roots[0], sizes[0], digests[0]);
        for (uint256 i = 1; i < count; ++i) {
            _anchor(roots[i], sizes[i], digests[i]);
        }
    }

    /// The entry of a root; `seq` is 0 when this submitter never anchored it. `time` is the block's.
    function get(address submitter, bytes32 root)
        external
        view
        returns (uint64 seq, uint64 size, uint64 time, uint64 blockNumber)
    {
        Entry storage entry = entries[submitter][root];
        return (entry.seq, entry.size, entry.time, entry.blockNumber);
    }

    /// The batch digest that was anchored with a root; zero when this submitter never anchored it.
    function digestOf(address submitter, bytes32 root) external view returns (bytes32 batchDigest) {
        return batchDigests[submitter][root];
    }

    /// Number of anchors so far, and the value that vouches for all of them and their order.
    function head() external view returns (uint64 seq, bytes32 value) {
        return (lastSeq, accumulator);
    }

    /// Put on record that one statement gives way to another; entries stay as they are.
    function supersede(bytes32 oldStatement, bytes32 newStatement, uint8 reason) external onlyWriter {
        emit Superseded(oldStatement, newStatement, msg.sender, reason);
    }

    function setWriter(address writer, bool allowed) external onlyAdmin {
        isWriter[writer] = allowed;
        emit WriterSet(writer, allowed);
    }

    /// First step of a handover; a later proposal replaces it, address zero withdraws it.
    function proposeAdmin(address newAdmin) external onlyAdmin {
        pendingAdmin = newAdmin;
    }

    /// Second step of a handover, by the new administrator itself.
    function acceptAdmin() external {
        if (msg.sender != pendingAdmin) revert NotAdmin(msg.sender);
        emit AdminChanged(admin, msg.sender);
        admin = msg.sender;
        pendingAdmin = address(0);
    }

    /// Stop new anchors, or let them again; what is anchored can always be read.
    function pause(bool stop) external onlyAdmin {
        paused = stop;
        emit Paused(stop);
    }

    function _anchor(bytes32 root, uint64 size, bytes32 batchDigest) private returns (uint64 seq) {
        Entry storage entry = entries[msg.sender][root];
        seq = entry.seq;
        if (seq != 0) {
            if (entry.size != size || batchDigests[msg.sender][root] != batchDigest) {
                revert DifferentBatch(msg.sender, root);
            }
            return seq;
        }
        if (paused) revert AnchoringPaused();
        if (size == 0) revert EmptyBatch();
        seq = lastSeq + 1;
        lastSeq = seq;
        entries[msg.sender][root] = Entry(seq, size, uint64(block.timestamp), uint64(block.number));
        batchDigests[msg.sender][root] = batchDigest;
        bytes32 previous = accumulator;
        accumulator = keccak256(abi.encode(previous, root, size, batchDigest));
        emit Anchored(root, seq, msg.sender, size, batchDigest, previous);
    }
}
