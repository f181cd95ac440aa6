#include "LowerCuda.h"

#include "Coverage.h"
#include "FarScores.h"
#include "StreamKernel.h"
#include "device/ExpandPtx.h"
#include "support/Error.h"
#include "support/Log.h"
#include "support/Stage.h"

#include <future>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;
using namespace strobe::cuda;

namespace {

/** The target that Halide's code generator is told: the newest it knows that only
 * differs from ours by what expand_ptx adds. */
Target halide_target() {
    return Target("x86-64-linux-no_runtime-cuda-cuda_capability_86-no_asserts-no_bounds_query");
}

Count work_of(const TileProgram &program, const PackageArguments &arguments) {
    Count work = {arguments.extent_of(program.query, program.query_tile)};
    for (const Axis &a : program.grid) {
        work.push_back(arguments.extent_of(a, 1));
    }
    return work;
}

/** Blocks a multiprocessor of the kernels before the main one: they move memory, and need many threads for that. */
const int small_kernel_blocks = 4;

/** A kernel as Halide IR. */
struct KernelBody {
    Stmt body;
    std::string entry;
    std::vector<DeviceArgument> arguments;
};

/** What one candidate adds to the package's code. */
struct KernelSources {
    std::vector<KernelBody> kernels;
    device::PtxOptions options;

    void add(const Stmt &body, const KernelSpec &kernel, const KernelParameters &parameters, int blocks) {
        strobe_debug(2) << "CUDA kernel " << kernel.entry << ":\n" << body << "\n";
        kernels.push_back({body, kernel.entry, parameters.device_arguments()});
        options.entries[kernel.entry] = {kernel.threads, parameters.tensor_map_positions(), blocks};
    }
};

/** Halide IR to PTX. Uses nothing that another thread could be at. */
std::string generate(const KernelSources &sources) {
    const Stage stage("PTX");
    auto generator = new_CodeGen_PTX_Dev(halide_target());
    generator->init_module();
    for (const KernelBody &k : sources.kernels) {
        generator->add_kernel(k.body, k.entry, k.arguments);
    }
    const std::vector<char> source = generator->compile_to_src();
    strobe_debug(3) << source.data() << "\n";
    return device::expand_ptx(source.data(), sources.options);
}

/** Adds the candidate's plan to the package, and gives its kernels. */
KernelSources add_plan(const CudaCandidate &candidate, const PackageArguments &arguments, KernelPackage &package) {
    const Stage stage("kernels");
    const TileProgram near = without_far_scores(candidate.program);
    if (const auto problem = outside_of_form(near)) {
        strobe_user_error() << "In algorithm " << near.name << ": no wgmma kernel for " << *problem;
    }
    PreparedProgram prepared = prepare_operands(candidate.choices.chains > 1 ? with_chains_apart(near) : near);
    const TileProgram &program = prepared.program;
    if (candidate.choices.chains == 1) {
        leave_rows_to_blocks(prepared);
    }
    LaunchPlan plan;
    plan.kernels.reserve(max_kernels);  // parameters refer to them
    plan.schedule = candidate.schedule;
    plan.query_tile = program.query_tile;
    plan.cost_per_unit = candidate.cost_per_unit;
    plan.cost_per_step = candidate.cost_per_tile;
    if (arguments.has_extent_of(program.stream)) {
        plan.steps = {arguments.extent_of(program.stream, program.stream_tile)};
    }
    const std::string entry = "strobe_" + plain(program.name) + "_" + std::to_string(package.plans.size());
    std::vector<std::pair<Stmt, KernelParameters>> before;
    BlockOrder order;
    const bool scans = needs_scan(program.passes[0].mask);
    if (scans) {
        const auto tables = add_summary_kernels(program, program.passes[0], arguments, package, plan, entry, before);
        order = add_order_kernel(program, program.passes[0], arguments, package, plan, entry, tables, before);
    }
    add_preparation_kernels(prepared, arguments, package, plan, entry, before);
    KernelSources sources;
    for (size_t k = 0; k < before.size(); k++) {
        sources.add(before[k].first, plan.kernels[k], before[k].second, small_kernel_blocks);
    }
    KernelSpec kernel;
    kernel.entry = entry;
    kernel.work = work_of(program, arguments);
    kernel.overlaps = !plan.kernels.empty();
    StreamKernel stream(prepared, candidate.choices, arguments, package, plan, kernel, order);
    sources.add(stream.build(), kernel, stream.parameters(), 1);
    plan.kernels.push_back(kernel);
    package.plans.push_back(plan);
    return sources;
}

}  // namespace

KernelPackage lower_cuda(const std::vector<CudaCandidate> &candidates) {
    strobe_internal_assert(!candidates.empty());
    KernelPackage package;
    package.name = candidates[0].program.name;
    package.architecture = "sm_90a";
    package.is_ptx = true;
    const PackageArguments arguments(candidates[0].program, package);
    add_equal_extents(candidates[0].program, arguments, package);
    add_fixed_extents(candidates[0].program, arguments, package);
    std::vector<std::future<std::string>> texts;
    for (const CudaCandidate &candidate : candidates) {
        const bool last = texts.size() + 1 == candidates.size();
        texts.push_back(std::async(last ? std::launch::deferred : std::launch::async, generate,
                                   add_plan(candidate, arguments, package)));
    }
    std::vector<std::string> ptx;
    ptx.push_back(texts.back().get());
    for (size_t n = texts.size() - 1; n-- > 0;) {
        ptx.insert(ptx.begin(), texts[n].get());
    }
    package.code = device::merge_ptx(ptx);
    return package;
}

}  // namespace strobe
