// libautoschedule_strobe.so: loading it is all that is asked of it.
//
//     my_generator -p libautoschedule_strobe.so autoscheduler=Strobe ...
//     halide.load_plugin("libautoschedule_strobe.so")

#include "Autoscheduler.h"

namespace {

[[maybe_unused]] const bool registered = [] {
    strobe::register_autoscheduler();
    return true;
}();

}  // namespace
