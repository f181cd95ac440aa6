#ifndef STROBE_PLUGIN_AUTOSCHEDULER_H
#define STROBE_PLUGIN_AUTOSCHEDULER_H

/** \file
 * Strobe as a Halide autoscheduler. Parameters, all optional:
 *
 *     schedule=<file>   follow this schedule (schedule/ParseSchedule.h) instead of choosing one
 */

namespace strobe {

/** Makes Strobe known to Halide as the autoscheduler "Strobe"; doing so twice is harmless. */
void register_autoscheduler();

}  // namespace strobe

#endif
