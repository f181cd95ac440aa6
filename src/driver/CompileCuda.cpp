#include "CompileCuda.h"

#include "CompileGeneral.h"
#include "autoscheduler/ExchangeCost.h"
#include "device/Capability.h"
#include "lower/AddPlans.h"
#include "lower/cuda/Coverage.h"
#include "lower/cuda/LowerCuda.h"
#include "lower/simt/LowerSimt.h"
#include "schedule/PrintSchedule.h"
#include "support/Error.h"
#include "support/Stage.h"

#include <algorithm>

namespace strobe {

using namespace Halide;

namespace {

/** Multiply-adds a clock of one multiprocessor in general kernels of sums that come first: 30 to 54 were measured. */
constexpr double exchanged_per_clock = 36;

/** What has kernels with roles for warps. */
constexpr const char *specialised_architecture = "sm_90a";

/** The machine code, or the PTX where there is no assembler. */
void assemble_package(CudaCompilation &c, const std::string &architecture) {
    const Stage stage("ptxas");
    std::optional<Assembly> assembly = assemble(c.ptx, architecture, c.package.plans.size() > 1);
    if (!assembly) {
        c.package.code = c.ptx;
        c.package.is_ptx = true;
        return;
    }
    c.package.code = std::move(assembly->cubin);
    c.package.is_ptx = false;
    c.kernels = assembly->kernels;
    for (const KernelStatistics &k : c.kernels) {
        // A few where registers are limited for a second block on the multiprocessor, which is worth more.
        const int few = c.general ? 80 : 0;
        if (k.spill_store_bytes + k.spill_load_bytes > few) {
            c.warnings.push_back(k.entry + " spills registers to memory: " + std::to_string(k.spill_store_bytes) +
                                 " bytes stored, " + std::to_string(k.spill_load_bytes) +
                                 " loaded; a smaller stream tile or more registers (warps) may help");
        }
    }
    c.warnings.insert(c.warnings.end(), assembly->warnings.begin(), assembly->warnings.end());
}

/** With the predicted cost of a block of rows as a line over the length of the stream: exact at the shortest and
 * the longest shape, between which masks make it bend a little. */
CudaCandidate candidate_of(const Compilation &c, size_t n, const std::string &name) {
    const ScheduleSet &set = c.schedules;
    CudaCandidate candidate;
    candidate.program = c.programs[n];
    candidate.program.name = name.empty() ? candidate.program.name : name;
    candidate.choices = set.choices[n].choices;
    candidate.schedule = to_string(set.choices[n].schedule);
    const Estimate &shortest = set.estimates[n].front(), &longest = set.estimates[n].back();
    const double tiles = (double)(longest.visits[0].tiles - shortest.visits[0].tiles);
    const double slope = tiles > 0 ? (longest.block_clocks - shortest.block_clocks) / tiles : 0;
    candidate.cost_per_tile = std::max(0.0, slope);
    candidate.cost_per_unit =
        std::max(1.0, shortest.block_clocks - candidate.cost_per_tile * (double)shortest.visits[0].tiles);
    return candidate;
}

}  // namespace

std::string CudaCompilation::statistics() const {
    std::ostringstream text;
    for (const KernelStatistics &k : kernels) {
        text << k.entry << ": " << k.registers << " registers at launch, " << k.barriers << " named barriers, "
             << k.spill_store_bytes + k.spill_load_bytes << " bytes spilled\n";
    }
    if (kernels.empty()) {
        text << "no ptxas: the driver will assemble " << ptx.size() << " bytes of PTX\n";
    }
    for (const std::string &w : warnings) {
        text << "warning: " << w << "\n";
    }
    return text.str();
}

namespace {

/** The first line of an error, without the words that only an error needs. */
std::string reason_of(const UserError &error) {
    std::string text = error.what();
    for (char &c : text) {
        c = c == '\n' ? ' ' : c;
    }
    return text;
}

/** The stages up to tile programs of the warp-specialised form, where it exists and covers the algorithm; else
 * nothing, and the reason in \p because. */
std::optional<Compilation> compile_specialised(const std::vector<Func> &outputs, const Target &target,
                                               const Schedule &schedule, std::string &because) {
    if (asks_for_general(schedule)) {
        return std::nullopt;
    }
    if (const Directive *d = schedule.find("exchange"); d && (d->arguments.empty() || d->arguments[0].value != "off")) {
        because = "sums that come first have general kernels alone";
        return std::nullopt;
    }
    if (capability_of(target).name != specialised_architecture) {
        because = "kernels with roles for warps exist for " + std::string(specialised_architecture) + " alone";
        return std::nullopt;
    }
    try {
        Compilation c = compile(outputs, target, schedule);
        for (const TileProgram &program : c.programs) {
            if (const auto problem = cuda::outside_of_form(program)) {
                strobe_user_error() << "In algorithm " << program.name << ": no wgmma kernel for " << *problem;
            }
        }
        return c;
    } catch (const UserError &error) {
        if (asks_for_warp_roles(schedule)) {
            throw;
        }
        because = reason_of(error);
        return std::nullopt;
    }
}

/** The plan that sums over the stream first, beside those that walk it for each row: the launcher takes it where rows are
 * long enough. What is scheduled by hand stays as it is. */
void add_exchanged_plan(CudaCompilation &c, const std::vector<Func> &outputs, const Capability &machine,
                        const Schedule &schedule) {
    if (!c.stages.plan.second || !schedule.directives.empty()) {
        return;
    }
    const Compilation exchanged = compile_general(outputs, machine, Schedule().exchange());
    CudaCandidate candidate{exchanged.program, exchanged.choices, to_string(exchanged.schedule)};
    candidate.program.name = c.package.name;
    KernelPackage package = lower_simt({candidate}, machine.name, machine.shared_bytes_per_block);
    LaunchPlan &plan = package.plans[0];
    const std::vector<Shape> shapes = c.stages.schedules.shapes;
    const ExchangeCost cost = exchange_cost(exchanged.plan, shapes.back(), exchanged.choices.query_tile);
    plan.cost_per_unit = exchanged.choices.query_tile * cost.ahead() / exchanged_per_clock * plan.kernels.back().blocks_per_sm;
    add_plans(c.package, package);
}

}  // namespace

std::string general_because(const std::vector<Func> &outputs, const Target &target, const Schedule &schedule) {
    std::string because;
    compile_specialised(outputs, target, schedule, because);
    return because;
}

CudaCompilation compile_cuda(const std::vector<Func> &outputs, const Target &target, const Schedule &schedule,
                             const std::string &name) {
    const Capability machine = capability_of(target);
    CudaCompilation c;
    if (auto stages = compile_specialised(outputs, target, schedule, c.general_because)) {
        c.stages = std::move(*stages);
        std::vector<CudaCandidate> candidates;
        for (size_t n = 0; n < c.stages.programs.size(); n++) {
            candidates.push_back(candidate_of(c.stages, n, name));
        }
        c.package = lower_cuda(candidates);
        add_exchanged_plan(c, outputs, machine, schedule);
    } else {
        c.general = true;
        c.stages = compile_general(outputs, machine, schedule);
        std::vector<CudaCandidate> candidates;
        for (const GeneralPlan &plan : plans_of_general(c.stages, machine, schedule)) {
            candidates.push_back(
                {plan.program, plan.choices, to_string(plan.schedule), plan.cost_per_unit, plan.cost_per_tile});
            candidates.back().program.name = name.empty() ? plan.program.name : name;
        }
        c.package = lower_simt(candidates, machine.name, machine.shared_bytes_per_block);
        if (!c.general_because.empty() && !c.stages.choices.exchange) {
            c.warnings.push_back("the general kernel is used, which is slower: " + c.general_because);
        }
    }
    c.ptx = c.package.code;
    assemble_package(c, machine.name);
    return c;
}

}  // namespace strobe
