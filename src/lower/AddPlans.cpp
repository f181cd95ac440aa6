#include "AddPlans.h"

#include "device/ExpandPtx.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe {

namespace {

/** Where each of \p from lies in \p to, by name; empty if they are not the same. */
template<typename Spec>
std::vector<int> places(const std::vector<Spec> &from, const std::vector<Spec> &to) {
    std::vector<int> found;
    for (const Spec &f : from) {
        const auto same = [&](const Spec &t) { return t.name == f.name && t.type.code == f.type.code && t.type.bits == f.type.bits; };
        const auto at = std::find_if(to.begin(), to.end(), same);
        if (at == to.end() || from.size() != to.size()) {
            return {};
        }
        found.push_back(int(at - to.begin()));
    }
    return found;
}

/** Gives what plans refer to its places in another package. */
class Renumber {
    const std::vector<int> buffers, scalars;

    void apply(Count &count) const {
        for (CountTerm &term : count) {
            term.buffer = term.buffer < 0 ? -1 : buffers[term.buffer];
        }
    }
    void apply(ParamSpec &param) const {
        if (param.kind <= ParamSpec::Kind::Min) {
            param.index = buffers[param.index];
        } else if (param.kind == ParamSpec::Kind::Scalar) {
            param.index = scalars[param.index];
        }
    }

public:
    Renumber(std::vector<int> buffers, std::vector<int> scalars)
        : buffers(std::move(buffers)), scalars(std::move(scalars)) {
    }
    void apply(LaunchPlan &plan) const {
        for (KernelSpec &kernel : plan.kernels) {
            apply(kernel.work);
            for (ParamSpec &param : kernel.params) {
                apply(param);
            }
        }
        for (TensorMapSpec &map : plan.tensor_maps) {
            map.buffer = buffers[map.buffer];
        }
        for (WorkspaceSpec &workspace : plan.workspaces) {
            apply(workspace.elements);
        }
        apply(plan.steps);
    }
};

}  // namespace

bool add_plans(KernelPackage &package, const KernelPackage &more) {
    strobe_internal_assert(package.is_ptx && more.is_ptx && package.architecture == more.architecture)
        << "packages that are assembled, or for other machines";
    const std::vector<int> buffers = places(more.buffers, package.buffers), scalars = places(more.scalars, package.scalars);
    if (buffers.size() != package.buffers.size() || scalars.size() != package.scalars.size()) {
        return false;
    }
    const Renumber renumber(buffers, scalars);
    for (LaunchPlan plan : more.plans) {
        renumber.apply(plan);
        package.plans.push_back(plan);
    }
    package.code = device::merge_ptx({package.code, more.code});
    return true;
}

}  // namespace strobe
