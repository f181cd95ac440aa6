#include "Verdict.h"

#include "Elements.h"
#include "lower/SummaryTables.h"
#include "support/Error.h"

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

Expr extent_in(const Axis &axis, const PackageArguments &arguments, const KernelPackage &package,
               KernelParameters &parameters) {
    const CountTerm t = arguments.extent_of(axis, 1);
    return parameters.extent(package.buffers[t.buffer].name, t.dim);
}

namespace {

/** The body of a summary's kernel: one warp a tile. */
Stmt summary_body(const TileProgram &program, const Summary &summary, const PackageArguments &arguments,
                  const KernelPackage &package, KernelParameters &parameters, int workspace) {
    Code code;
    Elements elements(program, parameters, code);
    const Expr lane = Variable::make(Int(32), "k" + gpu_thread_name(0));
    const Expr extent = extent_in(program.stream, arguments, package, parameters);
    code.run("grid_release");
    code.set("rest", Variable::make(Int(32), "k" + gpu_block_name(0)));
    code.set("tiles", (extent + (program.stream_tile - 1)) / program.stream_tile);
    code.set("tile", Code::get_int("rest") % Code::get_int("tiles"));
    code.set("rest", Code::get_int("rest") / Code::get_int("tiles"));
    for (const Axis &a : axes_of(summary, program)) {
        const Expr n = extent_in(a, arguments, package, parameters);
        code.set("axis_" + plain(a.name), Code::get_int("rest") % n);
        code.set("rest", Code::get_int("rest") / n);
    }
    const Type type = summary_type(program, summary);
    for (int step = 0; step < (program.stream_tile + 31) / 32; step++) {
        code.set("element", min(Code::get_int("tile") * program.stream_tile + step * 32 + lane, extent - 1));
        const Expr load =
            saturated(type, substitute(program.stream.name, Variable::make(Int(32), "$element"), summary.load));
        elements.bindings["$element"] = [] { return Code::get_int("element"); };
        code.set("value", elements.row_value(load, 0));
        const Expr value = device::get(type, "value", 0);
        code.set("least", step == 0 ? value : min(device::get(type, "least", 0), value));
        code.set("greatest", step == 0 ? value : max(device::get(type, "greatest", 0), value));
    }
    for (int mask = 16; mask > 0; mask /= 2) {
        const Expr least = device::get(type, "least", 0), greatest = device::get(type, "greatest", 0);
        code.set("least", min(least, device::shuffle_xor(least, mask)));
        code.set("greatest", max(greatest, device::shuffle_xor(greatest, mask)));
    }
    code.when(lane == 0, [&] {
        const Expr at = summary_address(program, summary, arguments, package, parameters, parameters.workspace(workspace),
                                        Code::get_int("tile"),
                                        [](const std::string &axis) { return Code::get_int("axis_" + plain(axis)); });
        code.run("store_global", {}, {at, device::get(type, "least", 0)});
        code.run("store_global", {}, {at + UIntImm::make(UInt(64), 4), device::get(type, "greatest", 0)});
    });
    Stmt body = elements.with_kernel_values(code.finish());
    body = For::make("k" + gpu_thread_name(0), 0, 32, ForType::GPUThread, Partition::Never, DeviceAPI::CUDA, body);
    return For::make("k" + gpu_block_name(0), 0, 1, ForType::GPUBlock, Partition::Never, DeviceAPI::CUDA, body);
}

}  // namespace

Type summary_type(const TileProgram &program, const Summary &summary) {
    const Type type = summary.load.type();
    strobe_internal_assert(type.is_int_or_uint()) << program.name << ": a summary of type " << type;
    return type.bits() < 32 ? Int(32) : type.with_bits(32);
}

Expr saturated(const Type &type, const Expr &value) {
    if (value.type().bits() <= type.bits()) {
        return cast(type, value);
    }
    const Expr most = min(value, cast(value.type(), type.max()));
    return cast(type, type.is_int() ? max(most, cast(value.type(), type.min())) : most);
}

Expr is_exact(const Type &declared, const Expr &least, const Expr &greatest) {
    const Type type = least.type();
    if (declared.bits() <= type.bits()) {
        return const_true();
    }
    return type.is_int() ? least > type.min() && greatest < type.max() : greatest < type.max();
}

bool needs_scan(const MaskVerdict &mask) {
    return mask.dead.defined() && !is_const_zero(mask.dead) && !mask.contiguous;
}

Expr summary_address(const TileProgram &program, const Summary &summary, const PackageArguments &arguments,
                     const KernelPackage &package, KernelParameters &parameters, const Expr &workspace, const Expr &tile,
                     const std::function<Expr(const std::string &)> &axis) {
    const Expr extent = extent_in(program.stream, arguments, package, parameters);
    const Expr tiles = (extent + (program.stream_tile - 1)) / program.stream_tile;
    Expr index = 0;
    const std::vector<Axis> axes = axes_of(summary, program);
    for (size_t n = axes.size(); n-- > 0;) {
        index = index * extent_in(axes[n], arguments, package, parameters) + axis(axes[n].name);
    }
    index = index * tiles + tile;
    return workspace + cast<uint64_t>(index) * UIntImm::make(UInt(64), 8);
}

std::map<std::string, int> add_summary_kernels(const TileProgram &program, const StreamPass &pass,
                                               const PackageArguments &arguments, KernelPackage &package,
                                               LaunchPlan &plan, const std::string &entry,
                                               std::vector<std::pair<Stmt, KernelParameters>> &bodies) {
    std::map<std::string, int> workspaces;
    for (const Summary &summary : pass.mask.summaries) {
        if (summary.axis != program.stream.name) {
            continue;
        }
        WorkspaceSpec pairs;
        pairs.element_bytes = 8;
        pairs.elements = {arguments.extent_of(program.stream, program.stream_tile)};
        for (const Axis &a : axes_of(summary, program)) {
            pairs.elements.push_back(arguments.extent_of(a, 1));
        }
        const int workspace = static_cast<int>(plan.workspaces.size());
        workspaces[summary.name] = workspace;
        plan.workspaces.push_back(pairs);
        KernelSpec kernel;
        kernel.entry = entry + "_summary_" + std::to_string(plan.kernels.size());
        kernel.threads = 32;
        kernel.work = pairs.elements;
        plan.kernels.push_back(kernel);
    }
    // The specs are complete and no longer move: parameters refer to them.
    size_t k = 0;
    for (const Summary &summary : pass.mask.summaries) {
        const auto workspace = workspaces.find(summary.name);
        if (workspace != workspaces.end()) {
            KernelParameters parameters(arguments, plan.kernels[k++]);
            const Stmt body = summary_body(program, summary, arguments, package, parameters, workspace->second);
            bodies.emplace_back(body, parameters);
        }
    }
    return workspaces;
}

}  // namespace strobe::cuda
