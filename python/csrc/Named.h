#ifndef STROBE_PYTHON_NAMED_H
#define STROBE_PYTHON_NAMED_H

/** \file
 * An operator for every Generator that is linked in. */

#include <string>

namespace strobe {

/** Defines torch.ops.strobe.NAME for all of them, once; gives the names, separated by spaces. */
std::string define_named_operators();

/** JSON: "names" of its tensors, which are "typed" by dtype, and the dimensions, [tensor, counted from the innermost], that
 * become a "constant" of the kernel. */
std::string named_operator_shape(const std::string &name);

/** JSON: the "tensors" and "outputs" (name, type, sizes as in an algorithm text) for arguments of these types and
 * sizes: [[type, [size, ...]], ...], innermost first; only constant dimensions are read. */
std::string named_operator_declaration(const std::string &name, const std::string &arguments);

}  // namespace strobe

#endif
