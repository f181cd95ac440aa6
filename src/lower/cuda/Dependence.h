#ifndef STROBE_LOWER_CUDA_DEPENDENCE_H
#define STROBE_LOWER_CUDA_DEPENDENCE_H

/** \file
 * How often a value changes: what an Expr of the tile program depends on, and the names that stand for a thread's
 * place in a fragment.
 */

#include "tile/TileProgram.h"

#include <set>

namespace strobe::cuda {

/** What an Expr of the tile program depends on. */
struct Dependence {
    bool block = false;     // batch axes, the block's corners
    bool row = false;       // the query coordinate
    bool state = false;     // the tile of the stream, or a row value
    bool column = false;    // the stream or feature coordinate
    bool fragment = false;  // an element of a fragment
    bool differs() const {
        return column || fragment;
    }
};

/** \p parts: fragments that stand for further values of the program. */
Dependence dependence_of(const Halide::Expr &e, const TileProgram &program, const std::set<std::string> &parts);

/** The column of the thread's first element of a row, and an element's distance
 * from it, which is a constant. */
const std::string thread_column_name = "$thread_column";
const std::string offset_name = "$offset";

Halide::Expr thread_column();

/** An integer quotient or remainder that takes more than a shift. */
bool is_quotient(const Halide::Expr &e);

/** The top of integer work that is worth keeping where it is one value for a whole column: quotients, and arithmetic
 * on bits. */
bool is_integer_work(const Halide::Expr &e);

/** What a value is kept as in a register, or in a word of shared memory. */
Halide::Type word_type(Halide::Type t);

/** Divides integers, or reads memory, for each element. */
bool is_costly(const Halide::Expr &e);

}  // namespace strobe::cuda

#endif
