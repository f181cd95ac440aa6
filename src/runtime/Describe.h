#ifndef STROBE_RUNTIME_DESCRIBE_H
#define STROBE_RUNTIME_DESCRIBE_H

/** \file
 * A kernel package as JSON, for callers who must know what to pass and readers who
 * want to know what is inside. */

#include <string>

#include "runtime/KernelPackage.h"

namespace strobe {

/** {"name", "architecture", "code", "buffers": [...], "scalars": [...], "equal_extents": [...], "fixed_extents": [...],
 * "plans": [...]}; everything but the machine code. */
std::string describe_package(const KernelPackage &package);

}  // namespace strobe

#endif
