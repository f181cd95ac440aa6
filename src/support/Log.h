#ifndef STROBE_SUPPORT_LOG_H
#define STROBE_SUPPORT_LOG_H

/** \file
 * STROBE_DEBUG=1 names the stages as they run, 2 prints what each produced. */

#include <iostream>

namespace strobe {

/** The value of STROBE_DEBUG; 0 when unset. */
int debug_level();

}  // namespace strobe

#define strobe_debug(level)                   \
    if (::strobe::debug_level() < (level)) {  \
    } else                                    \
        std::cerr

#endif
