#ifndef STROBE_LOWER_CUDA_STREAM_KERNEL_H
#define STROBE_LOWER_CUDA_STREAM_KERNEL_H

/** \file
 * One pass of a tile program as a warp-specialised kernel for sm_90a.
 *
 * A block is one producer warpgroup and `consumers` consumer warpgroups of 64 rows
 * each. It takes blocks of rows from a queue (a counter in global memory) until
 * none is left. One thread of the producer copies the row operands once per block
 * of rows and the streamed operands tile by tile into rings of shared-memory
 * stages; full and empty barriers connect it with the consumers, so the copies of
 * the next block of rows run under the epilogue of the last.
 *
 * A consumer's step on tile n: start the score contractions of tile n, start the
 * accumulating contractions of tile n - 1, wait for the former, do the elementwise
 * work, wait for the latter, rescale the accumulators, pack the weights.
 *
 * With several chains (Chains.h), as many consumers share 64 rows, each with one
 * chain; the last of the epilogue is the first chain's, to which the others send
 * what they have found (Exchange.cpp).
 */

#include "Chains.h"
#include "Elements.h"
#include "MaskParts.h"
#include "Order.h"
#include "Prepare.h"
#include "schedule/Schedule.h"

#include <algorithm>
#include <set>

namespace strobe::cuda {

/** A tile staged in shared memory, in panels of 64 columns with the 128-byte swizzle. */
struct Operand {
    Expr load;  // the element that is read
    std::string name;
    std::vector<TileDim> dims;
    int rows = 0, columns = 0;
    bool streamed = false;
    bool early = false;  // streamed, and scores read it
    bool elements = false;  // read element by element: not by the matrix unit (ElementTiles.cpp)
    int stages = 1;
    int offset = 0;       // from the start of shared memory
    int tensor_map = 0;   // index in the plan
    int last_map = 0;     // of the last panel, whose rows are shorter where columns are no multiple of 64
    int full = 0, empty = 0;  // barrier numbers of stage 0
    int users = 1;            // chains that read it, and release it
    int in_result = -1;       // elements: the result whose buffer they lie in, and are replaced in (index into `staged`)
    bool by_threads = false;  // all threads release it, not one a warpgroup: notes and columns go with it
    int page_dim = -1;        // of rows in pages: a copy each; -1: one copy a tile
    int page_rows = 0;        // of a copy
    const PreparedTile *prepared = nullptr;  // computed beforehand: no tensor map
    int panels() const {
        return (columns + 63) / 64;
    }
    int panel_bytes() const {
        return rows * 128;
    }
    int stage_bytes() const {
        return panels() * panel_bytes();
    }
    /** The consumers compute it, each warpgroup its own rows; nobody copies anything. */
    bool in_block() const {
        return prepared && prepared->in_block;
    }
    int panel_columns(int panel) const {
        return std::min(64, columns - 64 * panel);
    }
    /** What the copies of a tile write: less than a stage if the last panel is not full. */
    int copied_bytes() const;
};

/** An output fragment, staged in shared memory on its way out. */
struct Staged {
    const TileOp *store = nullptr;
    std::string feature;
    int columns = 0;
    int offset = 0;
    int tensor_map = 0;
    int panels() const {
        return (columns + 63) / 64;
    }
};

/** An input, or costly integer work, of which the step reads a value a column; staged in shared memory. */
struct Column {
    Expr load;
    bool always = false;  // else only in partial tiles
};

/** Which of the consumer warpgroups this is. */
inline Expr warpgroup() {
    return Code::get_int("warpgroup");
}

/** The first of the thread's two rows, from the start of its warpgroup's 64. */
inline Expr row_of_thread() {
    return thread_index() % 128 / 32 * 16 + thread_index() % 32 / 4;
}

/** Named barriers 8, 9, ... keep the threads of one warpgroup together. */
inline void sync_warpgroup(Code &code) {
    code.run("named_sync", {}, {u32(warpgroup() + 8), u32(128)});
}

class StreamKernel {
public:
    StreamKernel(const PreparedProgram &prepared, const Choices &choices, const PackageArguments &arguments,
                 KernelPackage &package, LaunchPlan &plan, KernelSpec &kernel, const BlockOrder &order);

    /** The kernel's body, with its block and thread loops. */
    Stmt build();
    const KernelParameters &parameters() const {
        return params;
    }

private:
    const PreparedProgram &prepared;
    const TileProgram &program;
    const StreamPass &pass;
    const Choices &choices;
    const PackageArguments &arguments;
    KernelPackage &package;
    LaunchPlan &plan;
    KernelSpec &kernel;
    KernelParameters params;

    std::vector<Operand> operands;  // of the streamed ones, the scores' first
    std::vector<Staged> staged;
    std::vector<const TileOp *> scores, sums;  // contractions of this tile, of the previous one; of the own chain
    std::vector<const TileOp *> all_scores, all_sums;
    std::vector<std::set<std::string>> chains;  // the values of each; one for all if warpgroups do not divide them
    int chain = 0;                              // whose code is being written
    std::set<std::string> accumulators;
    std::set<std::string> lane_partial;  // row sums combined across lanes only at the end
    int row_stages = 1;  // blocks of rows whose row operands are in shared memory
    int barriers = 0, barrier_offset = 0, slot_offset = 0, counter = 0;
    int note_offset = 0, notes = 0, batch_offset = 0, batch_barriers = 0;
    BlockOrder order;  // of use where tiles are judged at run time

    // Exchange.cpp: chains that warpgroups of the same rows compute apart.
    struct Item {
        std::string value;
        int element = 0;
        int piece = 0, word = 0;  // where it is sent
    };
    std::vector<Item> exchanged;
    int exchange_offset = 0;
    void sort_chains();
    void use_chain(int number);
    bool is_own(const TileOp &op) const;
    Expr row_group() const;
    std::vector<const Operand *> streamed_of(const std::vector<const TileOp *> &contractions) const;
    int exchange_words() const;
    int lay_out_exchange(int offset);
    Expr exchange_address(int word) const;
    void send_values(Code &code);
    void receive_values(Code &code, Elements &elements);

    // Layout.cpp: what is where, and the checks that this form of kernel applies.
    void sort_ops();
    void lay_out();
    int add_tensor_map(const std::string &buffer, const std::vector<uint32_t> &box);
    void find_lane_partial();
    const Operand &operand(const std::string &name) const;
    [[noreturn]] void refuse(const std::string &what) const;

    // Scan.cpp: a verdict that is only known at run time.
    bool scans() const;
    int lay_out_scan(int offset);
    int scan_barriers() const;
    int batch_arrivals(int number) const;
    Stmt scanner();
    std::vector<MaskPart> parts;  // of the mask, which partial tiles ask apart
    int words() const;
    int live_bit(int w) const;
    int partial_bit(int w) const;
    std::string word_of(const std::string &name, int w, int word) const;
    void load_verdicts(Code &code, Elements &elements);
    void set_note(Code &code);
    void send_chunk(Code &code);
    void send_chunks(Code &code);
    void begin_batch(Code &code);
    void end_batch(Code &code, const Expr &count, const Expr &is_last);
    void receive_batch(Code &code);
    void release_batch(Code &code);
    Expr batch_address(int n) const;
    Expr batch_barrier(bool empty) const;
    Expr batch_phase() const;
    void produce_judged(Code &code, Elements &elements);
    void write_note(Code &code);
    void emit_nothing(Code &code);
    void announce_note(Code &code);
    int note_bits() const;
    Expr note_address(const Expr &iteration) const;
    Expr note_is_last() const;
    Expr note_is_live() const;
    Expr note_partial() const;
    void read_note(Code &code);
    void next_note(Code &code);
    void consume_judged(Code &code, Elements &elements);
    const Operand *first_streamed() const;

    // Columns.cpp: a value a column of the stream, staged with its tile.
    std::vector<Column> columns;
    int column_offset = 0, note_barriers = 0;
    void find_columns();
    int column_bytes() const;
    int column_slots() const;
    Expr column_address(const Expr &iteration) const;
    Expr staged_column(const Expr &load, int offset) const;
    void load_column(Code &code, Elements &elements, const Column &column, int word);
    void load_columns(Code &code, Elements &elements, const Expr &partial);
    void announce_columns(Code &code);
    void load_range_columns(Code &code, Elements &elements);
    void load_judged_columns(Code &code, Elements &elements);
    Stmt column_loader();

    // ElementTiles.cpp: inputs with an element for each row and column, as tiles in shared memory.
    void find_element_tiles();
    void add_element_tile(const Elements &elements, const Expr &e, const TileDim &columns, bool streamed);
    const Operand *element_tile(const Expr &load, const std::string &axis) const;
    bool reads_element_tile(const TileOp &op) const;
    void read_element_tile(Code &code, const Operand &o, int number, const std::string &to);
    void wait_element_tiles(Code &code, bool streamed);
    void release_element_tiles(Code &code, bool streamed);
    void share_result_buffers();
    bool shares_result_buffers() const;
    void release_result_buffers(Code &code);
    bool holds_elements(const Staged &s) const;
    void produce_row_elements(Code &code, Elements &elements);

    // Walk.cpp: blocks of rows and tiles of the stream.
    Expr total_work();
    void draw_ticket(Code &code);
    void decode(Code &code, Elements &elements);
    void decode_by_heads(Code &code);
    void decode_ragged_last(Code &code, Elements &elements, const Expr &rows, const Expr &heads);
    void decode_descending(Code &code, Elements &elements, const Expr &heads);
    void set_group(Code &code, Elements &elements, const Expr &heads);
    bool has_range() const {
        return pass.mask.begin.defined() || pass.mask.end.defined();
    }
    std::vector<std::string> slot_registers() const;
    Expr slot_address(int n) const;
    /** Waits for the next block and takes all that the producer says of it: for warps that walk beside the consumers. */
    void take_slot(Code &code) const;
    void read_slot(Code &code);
    Expr last_row(int rows);
    Expr stage_of(const Operand &o, const Expr &iteration) const;
    Expr phase_of(const Operand &o, const Expr &iteration) const;
    Expr barrier(int number) const;
    Expr rows_full() const;
    Expr rows_empty() const;
    Expr rows_phase() const;
    Expr shared(const Expr &offset) const;

    int arrivals(int n) const;
    void clear_ends(Code &code);
    Stmt producer();
    bool copies_by_warp() const;
    /** What one thread does for all: the copying one, or the first of its warp. */
    template<typename Body>
    void by_one(Code &code, Body body) {
        if (copies_by_warp()) {
            code.when(thread_index() == 0, body);
        } else {
            body();
        }
    }
    void produce_prepared(Code &code, Elements &elements, const Operand &o, const Expr &to, const Expr &full);
    void produce_pages(Code &code, Elements &elements, const Operand &o, const Expr &to, const Expr &full);
    Expr coordinate(const Operand &o, size_t d) const;
    bool moves(const Expr &coordinate) const;
    bool is_row_operand(const Operand &o) const {
        return !o.streamed && !o.elements;
    }
    void set_coordinates(Code &code, Elements &elements);
    int tiles_behind() const;
    void produce_range(Code &code, Elements &elements);
    void produce_tile(Code &code, Elements &elements, bool early, bool late);
    void produce_operand(Code &code, Elements &elements, const Operand &o, const Expr &iteration);

    Stmt consumer();
    Stmt consumer_of_chain();
    void consume_block(Code &code, Elements &elements);
    void compute_rows(Code &code, Elements &elements, const Operand &o);
    bool prefetches_rows() const;
    void prefetch_rows(Code &code, Elements &elements, const Operand &o);
    void prefetch(Code &code, Elements &elements, const Halide::Internal::Call *load, int row_bytes);
    Stmt row_prefetcher();
    void consume_range(Code &code, Elements &elements);
    void finish_run(Code &code);
    void skip_tile(Code &code);
    void skip_tiles(Code &code);
    void set_own_range(Code &code, Elements &elements);
    void wait_full(Code &code, const std::vector<const TileOp *> &contractions, const Expr &iteration);
    void consume_tile(Code &code, Elements &elements, bool first);
    void elementwise(Code &code, Elements &elements, bool first, const std::function<void()> &finish_sums);
    void emit_mask(Code &code, Elements &elements, const TileOp &op);
    void set_partial(Code &code, Elements &elements);
    void emit_op(Code &code, Elements &elements, const TileOp &op, bool first);
    bool elementwise_around(Code &code, Elements &elements, const std::vector<const TileOp *> &ops, bool first,
                            const std::function<void()> &finish_sums);
    void hold_rows(Code &code);
    void start_scores(Code &code, const Expr &iteration);
    void start_sums(Code &code, const Expr &iteration, bool last);
    void pack_weights(Code &code);
    void take_turn(Code &code);
    void pass_turn(Code &code);
    void release(Code &code, const std::vector<const TileOp *> &contractions, const Expr &iteration);

    // Epilogue.cpp
    void epilogue(Code &code, Elements &elements);
    void store_rows(Code &code, Elements &elements, const TileOp &op);
    void store_staged(Code &code, Elements &elements, const Staged &s);
};

}  // namespace strobe::cuda

#endif
