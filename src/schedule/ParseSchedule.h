#ifndef STROBE_SCHEDULE_PARSE_SCHEDULE_H
#define STROBE_SCHEDULE_PARSE_SCHEDULE_H

/** \file
 * The text form of a schedule, which parse_schedule and load_schedule (include/strobe/schedule.h) read:
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

#endif
