#include "Autoscheduler.h"

#include "Halide.h"
#include "driver/Compile.h"
#include "schedule/ParseSchedule.h"
#include "schedule/PrintSchedule.h"
#include "support/Error.h"
#include "support/NearestName.h"

#include <sstream>

namespace strobe {

using namespace Halide;

namespace {

Schedule schedule_from(const AutoschedulerParams &params) {
    const std::vector<std::string> known = {"schedule"};
    Schedule schedule;
    for (const auto &[name, value] : params.extra) {
        strobe_user_assert(name == "schedule")
            << "the autoscheduler Strobe has no parameter " << name << suggestion_for(name, known);
        schedule = load_schedule(value);
    }
    return schedule;
}

/** Halide puts the text into a C++ function: ours is not C++. */
std::string as_comment(const std::string &text) {
    std::istringstream lines(text);
    std::string result;
    for (std::string line; std::getline(lines, line);) {
        result += "// " + line + "\n";
    }
    return result;
}

void run(const Pipeline &pipeline, const Target &target, const AutoschedulerParams &params,
         AutoSchedulerResults *results) {
    try {
        const Schedule schedule = schedule_from(params);
        results->schedule_source = as_comment(to_string(compile(pipeline.outputs(), target, schedule).schedule));
        autoschedule(pipeline, target, schedule);
    } catch (const UserError &e) {
        throw CompileError(e.what());
    } catch (const RuntimeFailure &e) {
        throw CompileError(e.what());
    } catch (const InternalError &e) {
        throw Halide::InternalError(e.what());
    }
}

}  // namespace

void register_autoscheduler() {
    static const bool once = [] {
        Pipeline::add_autoscheduler("Strobe", run);
        return true;
    }();
    (void)once;
}

}  // namespace strobe
