#ifndef STROBE_TILE_PRINT_EXPR_H
#define STROBE_TILE_PRINT_EXPR_H

/** \file
 * Exprs as text that reads like source: few parentheses, exp instead of exp_f32,
 * inputs as q[d, i, h, b]. */

#include "Halide.h"

#include <string>

namespace strobe {

std::string expr_text(const Halide::Expr &e);

/** "float32", "bfloat16", ... */
std::string type_text(Halide::Type type);

}  // namespace strobe

#endif
