#ifndef STROBE_TEXT_TEXT_EXPRS_H
#define STROBE_TEXT_TEXT_EXPRS_H

/** \file
 * Expressions of an algorithm text to Halide Exprs. */

#include "AlgorithmText.h"
#include "Json.h"

namespace strobe {

/** What an expression may refer to. */
struct TextScope {
    struct Axis {
        Halide::Expr value;
        TextSize size;
    };
    struct Function {
        Halide::Func func;
        std::vector<TextSize> sizes;  // of its arguments
    };
    const TextAlgorithm &algorithm;
    const std::vector<Halide::ImageParam> &images;
    const std::map<std::string, Halide::Expr> &scalars;
    const std::map<std::string, Halide::Expr> &named_sizes;
    std::map<std::string, Function> functions;
    std::map<std::string, Axis> axes;          // of the function being read
    struct Let {
        Halide::Expr value;
        size_t height = 0;  // of its nesting, lets that it uses included
    };
    std::map<std::string, Let> lets;  // of the function being read
    std::vector<TextRequirement> requirements;
    size_t nodes = 0;  // read so far
};

/** Element types by name: float32, int64, ... */
Halide::Type text_type(const Json &json);

/** Throws UserError for what is not an expression over the scope. Adds to the scope's
 * requirements what makes its loads stay inside their tensors. */
TextScope::Let read_text_expr(const Json &json, TextScope &scope);

/** What the compiler's recursion can bear, lets included. */
constexpr size_t max_text_height = 1000;

}  // namespace strobe

#endif
