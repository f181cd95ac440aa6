#ifndef STROBE_LOWER_INPUT_LOADS_H
#define STROBE_LOWER_INPUT_LOADS_H

#include "Halide.h"

#include <vector>

namespace strobe {

/** The elements of inputs that an Expr reads, in the order of its terms; none of an undefined Expr. They live as long
 * as the Expr does. */
std::vector<const Halide::Internal::Call *> input_elements(const Halide::Expr &e);

}  // namespace strobe

#endif
