#ifndef STROBE_SCHEDULE_PRINT_SCHEDULE_H
#define STROBE_SCHEDULE_PRINT_SCHEDULE_H

/** \file
 * The text form of a schedule, one directive a line. What parse_schedule reads
 * from it is equal to what was printed, whatever the names and values hold. */

#include "Schedule.h"

namespace strobe {

/** "k, v: stage(2, tma)" */
std::string to_string(const Directive &directive);

std::ostream &operator<<(std::ostream &stream, const Directive &directive);

}  // namespace strobe

#endif
