#ifndef STROBE_DRIVER_COMPILE_GENERAL_H
#define STROBE_DRIVER_COMPILE_GENERAL_H

/** \file
 * The stages up to the tile program for the general form of a GPU kernel
 * (lower/simt): tile sizes are those of the schedule, or the first of a list that
 * fit the machine. */

#include "Compile.h"
#include "device/Capability.h"

namespace strobe {

/** True if the schedule says kernel(general). */
bool asks_for_general(const Schedule &schedule);

/** True if the schedule has directives that only the warp-specialised form follows. */
bool asks_for_warp_roles(const Schedule &schedule);

/** As compile(). Throws UserError also if no tiles fit. */
Compilation compile_general(const std::vector<Halide::Func> &outputs, const Capability &machine,
                            const Schedule &schedule);

}  // namespace strobe

#endif
