#ifndef STROBE_SCHEDULE_SCHEDULE_CHECKER_H
#define STROBE_SCHEDULE_SCHEDULE_CHECKER_H

/** \file
 * What the parts of check_schedule share. The checks of single directives are in
 * CheckTiles.cpp, CheckReductions.cpp and CheckWarps.cpp. */

#include "CheckSchedule.h"
#include "CompleteChoices.h"
#include "Contains.h"
#include "Directives.h"
#include "PrintSchedule.h"
#include "ResolveNames.h"
#include "support/NearestName.h"

namespace strobe {

/** The names in a message: without Halide's "$n". */
std::vector<std::string> base_names(const std::vector<std::string> &names);
std::vector<std::string> names_of(const std::vector<Reduction> &reductions);
/** Digits only, at most nine; -1 for anything else. */
int number_in(const std::string &s);

class ScheduleChecker {
    const Schedule &schedule;
    const ReductionGraph &graph;
    const Plan &plan;
    const Capability &machine;
    const Workload work;
    std::vector<std::string> *warnings;
    Choices c;
    std::set<std::string> given;         // names of directives, see complete_choices
    const Directive *current = nullptr;  // being checked

    /** The first output, in whose name errors speak. */
    std::string subject() const;
    /** \p what: the part at fault, "online(threshold)"; the whole directive when empty. */
    [[noreturn]] void refuse(const SourceSpan &span, const std::string &reason, const std::string &legal,
                             const std::string &what = "") const;
    void warn(const std::string &text);

    /** The current directive's argument; an empty one if it is not given. */
    const DirectiveArgument &argument(const std::string &parameter) const;
    int number(const DirectiveArgument &a, int least, int most, const std::string &legal) const;
    std::string one_of(const DirectiveArgument &a, const std::vector<std::string> &known,
                       const std::string &otherwise) const;
    bool switched_on(const std::string &parameter) const;
    void needs_gpu(const std::string &why) const;
    void needs_cpu(const std::string &why) const;
    /** The current directive is about warps with roles. */
    void needs_warp_roles() const;

    /** What an axis is for, in the words of an error. */
    std::string use_of(const std::string &axis) const;
    std::string axis_named(const DirectiveArgument &a, const std::string &name) const;
    void needs_axis(const DirectiveArgument &a, const std::string &expected, const std::string &usage) const;

    // CheckTiles.cpp
    void check_tile();
    void check_stream();
    void check_split();
    void check_exchange();
    void check_chunks();
    void check_share();
    void check_blocks();
    void check_vectorize();
    void check_parallel();

    // CheckReductions.cpp
    void check_online();
    void check_recompute();
    void check_mask_directives();
    void check_rescale();
    /** The reduction that a name in online or recompute means; null for an output. */
    const Reduction *streamed_reduction(const DirectiveArgument &a) const;
    /** The pass in which a named reduction or output is computed. */
    int pass_of_argument(const DirectiveArgument &a) const;
    std::string reason_for_pass(const std::string &reduction) const;

    // CheckWarps.cpp
    void check_stage();
    bool is_operand(size_t subject) const;
    void check_mma();
    void check_mma_func(const std::string &func, const SourceSpan &span, const MatrixUnit *unit);
    void check_kernel();
    void check_warps();
    void check_registers();
    void check_chains();

    void check_one(const Directive &d);
    void check_together();

public:
    ScheduleChecker(const Schedule &schedule, const ReductionGraph &graph, const Plan &plan, const Capability &machine,
                    const AxisSizes &sizes, std::vector<std::string> *warnings)
        : schedule(schedule), graph(graph), plan(plan), machine(machine), work(workload_of(graph, plan, sizes)),
          warnings(warnings) {
    }

    Choices check();
};

}  // namespace strobe

#endif
