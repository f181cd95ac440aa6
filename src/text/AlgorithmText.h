#ifndef STROBE_TEXT_ALGORITHM_TEXT_H
#define STROBE_TEXT_ALGORITHM_TEXT_H

/** \file
 * An algorithm as text: plain data that a program in another language can write,
 * store and send. README.md in this folder describes the format.
 *
 * Reading builds the Halide Funcs that an author of a Generator would write, and
 * nothing else: no schedule, no meaning of its own. Every name, number and nesting
 * is checked, so the text may come from anywhere. */

#include "Halide.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace strobe {

/** The size of a dimension: a constant, a named size (equal wherever the name is
 * used), or neither, which leaves it free. */
struct TextSize {
    int64_t constant = -1;
    std::string name;
    bool is_constant() const {
        return constant >= 0;
    }
    bool operator==(const TextSize &other) const {
        return constant == other.constant && name == other.name;
    }
};

/** A tensor that the caller passes or receives; dimension 0 is the innermost. */
struct TextTensor {
    std::string name;
    Halide::Type type;
    std::vector<TextSize> sizes;
};

struct TextScalar {
    std::string name;
    Halide::Type type;
    std::optional<double> min, max;
};

/** What the sizes that are known at a call must satisfy. */
struct TextRequirement {
    enum class Kind {
        AtLeast,    // dimension `dim` of tensor `tensor` has at least `least` elements
        MultipleOf  // the size named `name` is a multiple of the one named `divisor`
    };
    Kind kind = Kind::AtLeast;
    size_t tensor = 0, dim = 0;
    TextSize least;
    std::string name, divisor;
};

struct TextAlgorithm {
    std::string name;
    std::vector<TextTensor> tensors, outputs;
    std::vector<TextScalar> scalars;
    std::vector<TextRequirement> requirements;

    std::vector<Halide::Parameter> parameters;  // of the tensors, then of the scalars
    std::vector<Halide::Func> funcs;            // of the outputs
    Halide::Pipeline pipeline;                  // of the funcs, with whatever it requires of the arguments

    /** The arguments of the compiled function: tensors, scalars. */
    std::vector<Halide::Argument> arguments() const;
};

/** Element types by their name in texts: float32, int64, ... */
const std::map<std::string, Halide::Type> &text_types();

/** Throws UserError that says where in the text (as a JSON pointer, /funcs/2/value/1)
 * and what would be legal. */
TextAlgorithm read_algorithm_text(const std::string &text);

/** Sizes of the outputs for tensors of these sizes, innermost first. Throws UserError
 * that names the tensor and the dimension, counted as the caller does: from the
 * outermost, as PyTorch and NumPy do. \p named, if not null, receives the named sizes. */
std::vector<std::vector<int64_t>> output_sizes(const TextAlgorithm &algorithm,
                                               const std::vector<std::vector<int64_t>> &sizes,
                                               std::map<std::string, int64_t> *named = nullptr);

/** Throws UserError unless there is a value for each scalar, in its range and, for
 * an integer, whole. */
void check_scalar_values(const TextAlgorithm &algorithm, const std::vector<double> &values);

/** Bounds that a text is held to. */
constexpr size_t max_text_bytes = 1 << 20, max_text_nodes = 20000, max_text_depth = 200, max_text_tensors = 48,
                 max_text_rank = 8;

}  // namespace strobe

#endif
