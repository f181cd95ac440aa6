#ifndef STROBE_SCHEDULE_SCHEDULE_H
#define STROBE_SCHEDULE_SCHEDULE_H

/** \file
 * A schedule as plain data: an ordered list of directives. It can be built with
 * the chained methods below, parsed from text (ParseSchedule.h), printed,
 * compared, hashed and saved. What a directive means and when it is legal is
 * documented at its method; CheckSchedule.h turns a schedule into Choices.
 */

#include "support/Source.h"

#include <map>
#include <ostream>
#include <string>
#include <vector>

namespace strobe {

struct DirectiveArgument {
    std::string key;    // "" for a positional argument
    std::string value;  // "i", "128", "160:32", "i descending"
    SourceSpan span;
    bool operator==(const DirectiveArgument &o) const {
        return key == o.key && value == o.value;
    }
};

/** subjects: name(arguments). The span is where it was written, if in a file. */
struct Directive {
    std::vector<std::string> subjects;  // Funcs or inputs it applies to; empty: the whole algorithm
    std::string name;
    std::vector<DirectiveArgument> arguments;
    SourceSpan span;                        // of the name
    std::vector<SourceSpan> subject_spans;  // empty, or one a subject
    bool operator==(const Directive &o) const {
        return subjects == o.subjects && name == o.name && arguments == o.arguments;
    }
};

class Schedule {
public:
    std::vector<Directive> directives;

    /** Appends a directive; the methods below are its named forms. */
    Schedule &add(Directive directive);

    /** Compute `size` consecutive points of a parallel axis in one block. */
    Schedule &tile(const std::string &axis, int size);
    /** Walk a reduced axis in tiles of `size`. */
    Schedule &stream(const std::string &axis, int size);
    /** Walk the stream in this many parts side by side, and merge what they found. */
    Schedule &split(const std::string &axis, int parts);
    /** Compute these reductions in the same walk over the stream. */
    Schedule &online(const std::vector<std::string> &reductions);
    /** Walk the stream once more for what depends on this reduction. */
    Schedule &recompute(const std::string &reduction);
    /** Keep `count` tiles of each of these inputs in flight. how: "tma" (sm_90) or "copy". */
    Schedule &stage(const std::vector<std::string> &inputs, int count, const std::string &how = "tma");
    /** Contract on the matrix unit, operands rounded to `type` ("bf16", "fp16", "fp32", "own"). */
    Schedule &mma(const std::string &func, const std::string &instruction, const std::string &type);
    /** "warp_specialized": one producer warpgroup copies, the others contract on wgmma (sm_90a). "general": all
     * threads of a block do all of its work; takes any algorithm, and is slower. */
    Schedule &kernel(const std::string &form);
    /** Warp roles: consumer warpgroups of 64 rows each, one producer warpgroup; registers a thread. Where a step
     * consists of several chains that share no computed value (two softmaxes, say), `chains` of the consumers may
     * share 64 rows, each with one chain: a chain's accumulators then have a warpgroup's registers to themselves. */
    Schedule &warps(int consumers, int producer, int consumer_registers, int producer_registers, int chains = 1);
    /** Warpgroups take turns on the matrix unit. */
    Schedule &pingpong(bool on = true);
    /** Do not visit tiles in which the mask is nowhere true; "off" visits all. */
    Schedule &skip(const std::string &what = "mask");
    /** Separate code for these tiles ("full", "partial"): full ones carry no mask. {"off"}: one code for all. */
    Schedule &specialize(const std::vector<std::string> &cases);
    /** One block a multiprocessor that takes tiles until none is left. */
    Schedule &persistent(bool on = true);
    /** Order of the blocks, innermost first; "i descending" hands out the last rows first. */
    Schedule &blocks(const std::vector<std::string> &order);
    /** Rescale the running state only when the maximum grew by more than `bits` powers of two. */
    Schedule &rescale_when(int bits);
    /** CPU: vector lanes for elementwise work over the stream. */
    Schedule &vectorize(const std::string &axis, int lanes);
    /** CPU: run blocks on Halide's thread pool. */
    Schedule &parallel(const std::vector<std::string> &axes);

    bool operator==(const Schedule &o) const {
        return directives == o.directives;
    }
    bool operator!=(const Schedule &o) const {
        return !(*this == o);
    }
    const Directive *find(const std::string &name) const;  // the last one, or null
    size_t hash() const;
};

/** What the later stages need, resolved and checked against graph, plan and target. */
struct Choices {
    int query_tile = 0, stream_tile = 0;
    int parts = 1;  // of the stream, walked side by side and merged
    bool skip_dead = true;
    bool specialize_full = true;
    bool persistent = true;
    bool pingpong = false;
    bool query_descending = false;
    int stages = 2;
    int consumers = 2;  // warpgroups
    int chains = 1;     // warpgroups that share 64 rows, one for each independent chain of a step
    int producers = 1;  // warpgroups that only copy; 0: consumers copy for themselves
    int consumer_registers = 240, producer_registers = 24;
    int rescale_bits = 0;  // 0: always
    int vector_lanes = 8;
    bool general = false;  // the GPU kernel without warp roles
    std::map<std::string, std::string> mma;  // Func -> operand type; absent: the algorithm's own
    std::string instruction;                 // the matrix instruction: "wgmma", "mma"; "" without a matrix unit
    std::string copies;                      // how tiles of inputs arrive: "tma", "copy"; "" on a CPU
    std::vector<std::string> block_order;    // the batch axes, innermost first (behind the query axis)
    /** Warpgroups with rows of their own. */
    int row_groups() const {
        return consumers / (chains > 0 ? chains : 1);
    }
    bool operator==(const Choices &o) const;
    bool operator!=(const Choices &o) const {
        return !(*this == o);
    }
};

}  // namespace strobe

#endif
