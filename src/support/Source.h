#ifndef STROBE_SUPPORT_SOURCE_H
#define STROBE_SUPPORT_SOURCE_H

/** \file
 * Where a piece of text came from, for errors that show file:line:column and a caret. */

#include "strobe/schedule.h"

namespace strobe {

/** "file:3:8: " and, under it, the line and a caret line; "" for an unknown span. */
std::string position_of(const SourceSpan &span);
std::string caret_of(const SourceSpan &span);

}  // namespace strobe

#endif
