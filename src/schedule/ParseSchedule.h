#ifndef STROBE_SCHEDULE_PARSE_SCHEDULE_H
#define STROBE_SCHEDULE_PARSE_SCHEDULE_H

/** \file
 * Reads the text form of a schedule:
 *
 *     schedule  = { directive }                       blanks and new lines separate, # starts a comment
 *     directive = [ name { "," name } ":" ] name [ "(" [ argument { "," argument } ] ")" ]
 *     argument  = [ name "=" ] value
 *     value     = word { word }                       160:32, i descending
 *
 * A name or a value in double quotes may hold anything. Directives and the
 * keywords of their arguments are looked up (Directives.h); names of Funcs, inputs
 * and axes are not, they belong to an algorithm: see CheckSchedule.h.
 */

#include "Schedule.h"

namespace strobe {

/** \p file is only named in errors. Throws UserError with file:line:column and a
 * caret, naming the nearest known directive or keyword. */
Schedule parse_schedule(const std::string &text, const std::string &file = "<schedule>");

/** Reads a file. Throws RuntimeFailure if it cannot be read. */
Schedule load_schedule(const std::string &path);

}  // namespace strobe

#endif
