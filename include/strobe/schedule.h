#ifndef STROBE_SCHEDULE_H
#define STROBE_SCHEDULE_H

/** \file
 * How to compute an algorithm, as a value. The three forms of a schedule are one:
 *
 *     Schedule().tile(i, 192).stream(j, 128).online({row_sum, out})      // C++, with Halide's Vars and Funcs, or their names
 *     tile(i, 192)  stream(j, 128)  online(row_sum, out)                 // text: parse_schedule, load_schedule, to_string
 *     strobe explain causal                                              // what was chosen, in the same words
 *
 * parse_schedule(to_string(s)) == s for every schedule. Each directive is documented, with when it is legal, in
 * src/schedule/README.md; an illegal one is refused with the place, the reason and what would be legal.
 */

#include <initializer_list>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace strobe {

/** Where a directive was written, for errors that show file:line:column and a caret. */
struct SourceSpan {
    std::string file;
    int line = 0, column = 0, length = 0;  // 1-based; line 0: not from a file
    std::string text;                      // the whole source line
    bool known() const {
        return line > 0;
    }
};

/** The name of an axis, Func or input: text, or anything of Halide's that has a name. */
struct Name {
    std::string text;
    Name(const char *text)
        : text(text) {
    }
    Name(const std::string &text)
        : text(text) {
    }
    template<typename Named, typename = decltype(std::string(std::declval<const Named &>().name()))>
    Name(const Named &named)
        : text(named.name()) {
    }
};

/** {"k", "v"}, or {k, v}. */
struct Names {
    std::vector<std::string> texts;
    Names(std::initializer_list<Name> names) {
        for (const Name &n : names) {
            texts.push_back(n.text);
        }
    }
    Names(const std::vector<std::string> &texts)
        : texts(texts) {
    }
};

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
    Schedule &tile(const Name &axis, int size);
    /** Walk a reduced axis in tiles of `size`. */
    Schedule &stream(const Name &axis, int size);
    /** Walk the stream in this many parts side by side, and merge what they found. */
    Schedule &split(const Name &axis, int parts);
    /** Sum over the stream first, where scores separate into features of rows and of what is streamed: the time then
     * grows with the length and not with its square. */
    Schedule &exchange(bool on = true);
    /** Compute this many points of a grid axis in one block, and load once what they all read. */
    Schedule &share(const Name &axis, int points);
    /** Compute these reductions in the same walk over the stream. */
    Schedule &online(const Names &reductions);
    /** Walk the stream once more for what depends on this reduction. */
    Schedule &recompute(const Name &reduction);
    /** Keep `count` tiles of each of these inputs in flight. how: "tma" (sm_90) or "copy". Inputs with an element for
     * each row and column (biases, gates) have a count of their own; 0: each element is read where it is used. */
    Schedule &stage(const Names &inputs, int count, const std::string &how = "tma");
    /** Contract on the matrix unit, operands rounded to `type` ("bf16", "fp16", "fp32", "own"). a: where the first
     * operand lies, "registers" or "shared"; "" leaves it open. */
    Schedule &mma(const Name &func, const std::string &instruction, const std::string &type, const std::string &a = "");
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
    Schedule &blocks(const Names &order);
    /** Rescale the running state only when the maximum grew by more than `bits` powers of two. */
    Schedule &rescale_when(int bits);
    /** CPU: vector lanes for elementwise work over the stream. */
    Schedule &vectorize(const Name &axis, int lanes);
    /** CPU: run blocks on Halide's thread pool. */
    Schedule &parallel(const Names &axes);

    bool operator==(const Schedule &o) const {
        return directives == o.directives;
    }
    bool operator!=(const Schedule &o) const {
        return !(*this == o);
    }
    const Directive *find(const std::string &name) const;  // the last one, or null
    size_t hash() const;
};

/** Reads the text form. \p file is only named in errors, which are UserErrors with file:line:column and a caret. */
Schedule parse_schedule(const std::string &text, const std::string &file = "<schedule>");

/** Reads a file. Throws RuntimeFailure if it cannot be read. */
Schedule load_schedule(const std::string &path);

/** One directive a line. */
std::string to_string(const Schedule &schedule);
std::ostream &operator<<(std::ostream &stream, const Schedule &schedule);

}  // namespace strobe

#endif
