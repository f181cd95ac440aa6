#include "KernelPackage.h"

#include <cmath>
#include <set>

#include "support/Error.h"

namespace strobe {

namespace {

/** Throws RuntimeFailure "kernel package <name>: <what>" unless `ok`. */
#define package_assert(ok) \
    if (ok) {              \
    } else                 \
        strobe_runtime_failure() << "kernel package " << package.name << ": "

void validate_type(const KernelPackage &package, const ElementType &type, const std::string &of) {
    bool known = false;
    switch (type.code) {
    case 0:
        known = type.bits == 8 || type.bits == 16 || type.bits == 32 || type.bits == 64;
        break;
    case 1:
        known = type.bits == 1 || type.bits == 8 || type.bits == 16 || type.bits == 32 || type.bits == 64;
        break;
    case 2:
        known = type.bits == 16 || type.bits == 32 || type.bits == 64;
        break;
    case 4:
        known = type.bits == 16;
        break;
    }
    package_assert(known) << of << " has no element type with code " << int(type.code) << " and " << int(type.bits)
                          << " bits";
}

void validate_buffer_dim(const KernelPackage &package, int buffer, int dim, const char *of) {
    package_assert(buffer >= 0 && buffer < int(package.buffers.size()))
        << of << " names buffer " << buffer << " of " << package.buffers.size();
    package_assert(dim >= 0 && dim < package.buffers[buffer].rank)
        << of << " names dimension " << dim << " of " << package.buffers[buffer].name << ", which has "
        << int(package.buffers[buffer].rank);
}

void validate_count(const KernelPackage &package, const Count &count, const char *of) {
    package_assert(count.size() <= 64) << of << " has " << count.size() << " factors, the limit is 64";
    for (const CountTerm &term : count) {
        package_assert(term.divisor >= (term.buffer == -1 ? 0 : 1)) << of << " has the divisor " << term.divisor;
        if (term.buffer != -1) {
            validate_buffer_dim(package, term.buffer, term.dim, of);
        }
    }
}

void validate_tensor_map(const KernelPackage &package, const TensorMapSpec &map) {
    package_assert(map.buffer >= 0 && map.buffer < int(package.buffers.size()))
        << "a tensor map names buffer " << map.buffer << " of " << package.buffers.size();
    const BufferSpec &buffer = package.buffers[map.buffer];
    package_assert(buffer.rank >= 1 && buffer.rank <= 5)
        << "a tensor map needs 1 to 5 dimensions, " << buffer.name << " has " << int(buffer.rank);
    package_assert(map.box.size() == buffer.rank) << "the tensor map of " << buffer.name << " has a box of "
                                                  << map.box.size() << " dimensions, not " << int(buffer.rank);
    for (uint32_t extent : map.box) {
        package_assert(extent >= 1 && extent <= 256)
            << "the tensor map of " << buffer.name << " has a box extent of " << extent << ", legal are 1 to 256";
    }
    const uint32_t swizzle = map.swizzle_bytes, row = map.box[0] * buffer.type.bytes();
    package_assert(swizzle == 0 || swizzle == 32 || swizzle == 64 || swizzle == 128)
        << "the tensor map of " << buffer.name << " swizzles " << swizzle << " bytes, legal are 0, 32, 64 and 128";
    package_assert(row % 16 == 0) << "the tensor map of " << buffer.name << " has rows of " << row
                                  << " bytes, legal are multiples of 16";
    package_assert(swizzle == 0 || row <= swizzle) << "the tensor map of " << buffer.name << " has rows of " << row
                                                   << " bytes, more than its swizzle of " << swizzle;
}

/** Bytes of a parameter, which is also its alignment but for tensor maps. */
int param_bytes(const KernelPackage &package, const ParamSpec &param) {
    switch (param.kind) {
    case ParamSpec::Kind::Pointer:
    case ParamSpec::Kind::Stride:
    case ParamSpec::Kind::Workspace:
        return 8;
    case ParamSpec::Kind::Extent:
    case ParamSpec::Kind::Min:
    case ParamSpec::Kind::GridSize:
        return 4;
    case ParamSpec::Kind::Scalar:
        return package.scalars[param.index].type.bytes();
    case ParamSpec::Kind::TensorMap:
        return 128;
    }
    return 0;
}

void validate_params(const KernelPackage &package, const LaunchPlan &plan, const KernelSpec &kernel) {
    package_assert(int(kernel.params.size()) <= max_params)
        << "kernel " << kernel.entry << " has " << kernel.params.size() << " parameters, the limit is " << max_params;
    int bytes = 0;
    for (const ParamSpec &param : kernel.params) {
        size_t count = package.buffers.size();
        const char *what = "buffer";
        switch (param.kind) {
        case ParamSpec::Kind::Extent:
        case ParamSpec::Kind::Stride:
        case ParamSpec::Kind::Min:
            validate_buffer_dim(package, param.index, param.dim, "a kernel's parameter");
            break;
        case ParamSpec::Kind::Scalar:
            count = package.scalars.size();
            what = "scalar";
            break;
        case ParamSpec::Kind::TensorMap:
            count = plan.tensor_maps.size();
            what = "tensor map";
            break;
        case ParamSpec::Kind::Workspace:
            count = plan.workspaces.size();
            what = "workspace";
            break;
        case ParamSpec::Kind::Pointer:
        case ParamSpec::Kind::GridSize:
            break;
        }
        package_assert(param.kind == ParamSpec::Kind::GridSize || (param.index >= 0 && size_t(param.index) < count))
            << "a parameter of kernel " << kernel.entry << " names " << what << " " << param.index << " of " << count;
        const int size = param_bytes(package, param), align = size == 128 ? 64 : size;
        bytes = (bytes + align - 1) / align * align + size;
    }
    package_assert(bytes <= max_param_bytes)
        << "kernel " << kernel.entry << " takes " << bytes << " bytes of parameters, the limit is " << max_param_bytes;
}

void validate_plan(const KernelPackage &package, const LaunchPlan &plan) {
    package_assert(!plan.kernels.empty() && int(plan.kernels.size()) <= max_kernels)
        << "a plan has " << plan.kernels.size() << " kernels, legal are 1 to 16";
    package_assert(int(plan.tensor_maps.size()) <= max_tensor_maps)
        << "a plan has " << plan.tensor_maps.size() << " tensor maps, the limit is " << max_tensor_maps;
    package_assert(int(plan.workspaces.size()) <= max_workspaces)
        << "a plan has " << plan.workspaces.size() << " workspaces, the limit is " << max_workspaces;
    package_assert(std::isfinite(plan.cost_per_unit) && plan.cost_per_unit > 0)
        << "a plan costs " << plan.cost_per_unit << " a unit, legal are positive numbers";
    package_assert(std::isfinite(plan.cost_per_step) && plan.cost_per_step >= 0)
        << "a plan costs " << plan.cost_per_step << " a step, legal are 0 and positive numbers";
    validate_count(package, plan.steps, "a plan's steps");
    package_assert(plan.counted_kernel >= -1 && plan.counted_kernel < int(plan.kernels.size()))
        << "a plan counts the units of kernel " << plan.counted_kernel << " of " << plan.kernels.size()
        << ", legal are -1 (the last) and those that it has";
    for (const TensorMapSpec &map : plan.tensor_maps) {
        validate_tensor_map(package, map);
    }
    for (const WorkspaceSpec &workspace : plan.workspaces) {
        validate_count(package, workspace.elements, "the size of a workspace");
        package_assert(workspace.element_bytes >= 1 && workspace.element_bytes <= (1u << 20))
            << "a workspace has elements of " << workspace.element_bytes << " bytes";
    }
    for (const KernelSpec &kernel : plan.kernels) {
        package_assert(!kernel.entry.empty() && kernel.entry.find('\0') == std::string::npos)
            << "a kernel has no legal name";
        package_assert(kernel.threads >= 1 && kernel.threads <= 1024)
            << "kernel " << kernel.entry << " has blocks of " << kernel.threads << " threads, legal are 1 to 1024";
        package_assert(kernel.shared_bytes >= 0 && kernel.shared_bytes <= (1 << 20))
            << "kernel " << kernel.entry << " asks for " << kernel.shared_bytes << " bytes of shared memory";
        package_assert(kernel.blocks_per_sm >= 1 && kernel.blocks_per_sm <= 64)
            << "kernel " << kernel.entry << " runs " << kernel.blocks_per_sm
            << " blocks a multiprocessor, legal are 1 to 64";
        validate_count(package, kernel.work, "a kernel's work");
        validate_params(package, plan, kernel);
    }
}

}  // namespace

void validate_package(const KernelPackage &package) {
    package_assert(!package.code.empty()) << "it holds no code";
    package_assert(!package.plans.empty() && package.plans.size() <= 256)
        << "it has " << package.plans.size() << " plans, legal are 1 to 256";
    package_assert(int(package.buffers.size()) <= max_buffers)
        << "it has " << package.buffers.size() << " buffers, the limit is " << max_buffers;
    package_assert(int(package.scalars.size()) <= max_scalars)
        << "it has " << package.scalars.size() << " scalars, the limit is " << max_scalars;
    std::set<std::string> names;
    for (const BufferSpec &buffer : package.buffers) {
        validate_type(package, buffer.type, buffer.name);
        package_assert(buffer.rank <= max_rank)
            << buffer.name << " has " << int(buffer.rank) << " dimensions, the limit is " << max_rank;
        package_assert(names.insert(buffer.name).second) << "two arguments are named " << buffer.name;
    }
    for (const ScalarSpec &scalar : package.scalars) {
        validate_type(package, scalar.type, scalar.name);
        package_assert(names.insert(scalar.name).second) << "two arguments are named " << scalar.name;
        package_assert(!std::isnan(scalar.min) && !std::isnan(scalar.max))
            << scalar.name << " has a range that is not a number";
    }
    for (const EqualExtents &pair : package.equal_extents) {
        validate_buffer_dim(package, pair.buffer_a, pair.dim_a, "a pair of equal extents");
        validate_buffer_dim(package, pair.buffer_b, pair.dim_b, "a pair of equal extents");
    }
    for (const FixedExtent &fixed : package.fixed_extents) {
        validate_buffer_dim(package, fixed.buffer, fixed.dim, "a fixed extent");
        package_assert(fixed.extent >= 0) << "a fixed extent of " << package.buffers[fixed.buffer].name << " is "
                                          << fixed.extent;
    }
    for (const LaunchPlan &plan : package.plans) {
        validate_plan(package, plan);
    }
}

}  // namespace strobe
