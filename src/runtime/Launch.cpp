#include "Launch.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "runtime/LoadCode.h"
#include "runtime/TensorMaps.h"
#include "runtime/Workspaces.h"
#include "support/Error.h"
#include "support/Log.h"

namespace strobe {

/** The package's code in one context. */
struct LoadedPackage::InContext {
    cuda::Context context = nullptr;
    unsigned long long context_id = 0;
    LoadedCode code;
    std::unique_ptr<Workspaces> workspaces;
    InContext *next = nullptr;
};

namespace {

/** Contexts are told apart by a number that never comes back, where the driver has one. */
unsigned long long id_of(cuda::Context context) {
    unsigned long long id = 0;
    if (cuda::driver().ctx_get_id) {
        cuda::check(cuda::driver().ctx_get_id(context, &id), "cannot use the current CUDA context");
    }
    return id;
}

cuda::Context current_context() {
    cuda::Context context = nullptr;
    cuda::check(cuda::driver().ctx_get_current(&context), "cannot find the current CUDA context");
    if (!context) {
        strobe_runtime_failure() << "this thread has no current CUDA context; select a device first";
    }
    return context;
}

/** Why a plan cannot run on these tensors; empty if it can. */
std::string plan_problem(const KernelPackage &package, const LaunchPlan &plan, const TensorArgument *tensors) {
    for (const TensorMapSpec &map : plan.tensor_maps) {
        std::string problem = tensor_map_problem(map, package.buffers[map.buffer], tensors[map.buffer]);
        if (!problem.empty()) {
            return problem;
        }
    }
    return "";
}

void require_plan(const KernelPackage &package, const LaunchPlan &plan, const TensorArgument *tensors) {
    const std::string problem = plan_problem(package, plan, tensors);
    if (!problem.empty()) {
        strobe_user_error() << "In " << package.name << ": " << problem << ".";
    }
}

/** Blocks to launch; 0 if there is no work. */
int64_t grid_of(const KernelPackage &package, const KernelSpec &kernel, const TensorArgument *tensors,
                int multiprocessors) {
    const int64_t work = evaluate_count(kernel.work, tensors, "the work of a kernel");
    if (work > std::numeric_limits<int32_t>::max()) {
        strobe_user_error() << "In " << package.name << ": these tensors make " << work << " units of work for "
                            << kernel.entry << "; legal are at most 2147483647.";
    }
    return kernel.persistent ? std::min<int64_t>(work, int64_t(multiprocessors) * kernel.blocks_per_sm) : work;
}

/** The relative time of a plan: whole rounds of the kernel that counts over the device. */
double estimated_time(const LaunchPlan &plan, const TensorArgument *tensors, int multiprocessors) {
    const KernelSpec &kernel = plan.counted_kernel < 0 ? plan.kernels.back() : plan.kernels[plan.counted_kernel];
    const int64_t slots = int64_t(multiprocessors) * kernel.blocks_per_sm;
    const int64_t work = evaluate_count(kernel.work, tensors, "the work of a kernel");
    const double steps = double(evaluate_count(plan.steps, tensors, "the steps of a kernel"));
    return double((work + slots - 1) / slots) * (plan.cost_per_unit + steps * plan.cost_per_step);
}

/** Where each workspace of a plan lies in the two blocks of memory. */
struct WorkspaceLayout {
    uint64_t offsets[max_workspaces];
    uint64_t plain_bytes = 0, zeroed_bytes = 0;
};

WorkspaceLayout lay_out(const LaunchPlan &plan, const TensorArgument *tensors) {
    WorkspaceLayout layout;
    for (size_t i = 0; i < plan.workspaces.size(); i++) {
        const WorkspaceSpec &spec = plan.workspaces[i];
        uint64_t &total = spec.zeroed ? layout.zeroed_bytes : layout.plain_bytes;
        const int64_t elements = evaluate_count(spec.elements, tensors, "the size of a workspace");
        if (elements > (int64_t(1) << 44) / spec.element_bytes) {
            strobe_user_error() << "These tensors are too large: a workspace would take " << elements << " elements of "
                                << spec.element_bytes << " bytes.";
        }
        layout.offsets[i] = total;
        total += (uint64_t(elements) * spec.element_bytes + 255) / 256 * 256;
    }
    return layout;
}

/** What one launch passes to its kernels. */
struct LaunchValues {
    const TensorArgument *tensors;
    const double *scalars;
    cuda::TensorMap maps[max_tensor_maps];
    uint64_t workspaces[max_workspaces];
};

/** Gives every workspace of the plan its address. The caller holds the workspaces' mutex until the launch is done. */
void take_workspaces(const KernelPackage &package, const LaunchPlan &plan, Workspaces &workspaces, cuda::Stream stream,
                     const LaunchOptions &options, LaunchValues &values) {
    const WorkspaceLayout layout = lay_out(plan, values.tensors);
    if (options.workspace && (options.workspace % 256 != 0 || options.workspace_bytes < layout.plain_bytes)) {
        strobe_user_error() << "In " << package.name << ": the workspace must lie at a multiple of 256 bytes and hold "
                            << layout.plain_bytes << " bytes; got " << options.workspace_bytes << " bytes at address "
                            << options.workspace << ".";
    }
    const Workspaces::Addresses memory =
        workspaces.take(stream, options.workspace ? 0 : layout.plain_bytes, layout.zeroed_bytes);
    const uint64_t plain = options.workspace ? options.workspace : memory.plain;
    for (size_t i = 0; i < plan.workspaces.size(); i++) {
        values.workspaces[i] = (plan.workspaces[i].zeroed ? memory.zeroed : plain) + layout.offsets[i];
    }
}

/** Where the driver reads one parameter from: a tensor map in place, anything else
 * from its own word, where `word` writes it. */
void *parameter(const KernelPackage &package, const ParamSpec &param, LaunchValues &values, int64_t blocks,
                uint64_t *word) {
    const TensorArgument *tensor = values.tensors + (param.kind <= ParamSpec::Kind::Min ? param.index : 0);
    const auto put = [&](auto value) { memcpy(word, &value, sizeof(value)); };
    switch (param.kind) {
    case ParamSpec::Kind::Pointer:
        put(tensor->address);
        break;
    case ParamSpec::Kind::Extent:
        put(int32_t(tensor->sizes[param.dim]));
        break;
    case ParamSpec::Kind::Stride:
        put(tensor->strides[param.dim]);
        break;
    case ParamSpec::Kind::Min:
        put(tensor->mins[param.dim]);
        break;
    case ParamSpec::Kind::Scalar:
        write_scalar(package.scalars[param.index].type, values.scalars[param.index], word);
        break;
    case ParamSpec::Kind::TensorMap:
        return &values.maps[param.index];
    case ParamSpec::Kind::Workspace:
        put(values.workspaces[param.index]);
        break;
    case ParamSpec::Kind::GridSize:
        put(int32_t(blocks));
        break;
    }
    return word;
}

/** behind_own: the launch has put an earlier kernel on the stream. Only that one may be overlapped. */
void launch_kernel(const KernelPackage &package, const KernelSpec &kernel, cuda::Function function,
                   LaunchValues &values, int64_t blocks, cuda::Stream stream, bool behind_own) {
    uint64_t words[max_params];
    void *parameters[max_params];
    for (size_t i = 0; i < kernel.params.size(); i++) {
        parameters[i] = parameter(package, kernel.params[i], values, blocks, &words[i]);
    }
    strobe_debug(2) << package.name << ": " << kernel.entry << " on " << blocks << " blocks of " << kernel.threads
                    << " threads\n";
    const cuda::Driver &driver = cuda::driver();
    cuda::Result result = 0;
    if (kernel.overlaps && behind_own && driver.launch_kernel_ex) {
        cuda::LaunchAttribute overlap;
        overlap.id = cuda::launch_programmatic_serialization;
        overlap.value[0] = 1;
        cuda::LaunchConfig config;
        config.grid[0] = unsigned(blocks);
        config.block[0] = unsigned(kernel.threads);
        config.shared_bytes = unsigned(kernel.shared_bytes);
        config.stream = stream;
        config.attributes = &overlap;
        config.num_attributes = 1;
        result = driver.launch_kernel_ex(&config, function, parameters, nullptr);
    } else {
        result = driver.launch_kernel(function, unsigned(blocks), 1, 1, unsigned(kernel.threads), 1, 1,
                                      unsigned(kernel.shared_bytes), stream, parameters, nullptr);
    }
    if (result != 0) {
        strobe_runtime_failure() << "cannot launch " << kernel.entry << " of " << package.name << " on " << blocks
                                 << " blocks of " << kernel.threads << " threads with " << kernel.shared_bytes
                                 << " bytes of shared memory: " << cuda::text_of(driver, result);
    }
}

void check_plan_index(const KernelPackage &package, int plan) {
    if (plan < -1 || plan >= int(package.plans.size())) {
        strobe_user_error() << "In " << package.name << ": there is no plan " << plan
                            << "; legal are -1 (choose) and 0 to " << package.plans.size() - 1 << ".";
    }
}

}  // namespace

LoadedPackage::LoadedPackage(KernelPackage package) : the_package(std::move(package)) {
    validate_package(the_package);
}

LoadedPackage::~LoadedPackage() {
    for (InContext *entry = newest.load(); entry;) {
        // A context that was destroyed took its modules and memory with it.
        if (cuda::driver().ctx_push_current(entry->context) == 0) {
            entry->workspaces->release();
            cuda::driver().module_unload(entry->code.module);
            cuda::Context popped = nullptr;
            cuda::driver().ctx_pop_current(&popped);
        }
        InContext *next = entry->next;
        delete entry;
        entry = next;
    }
}

LoadedPackage::InContext *LoadedPackage::find(cuda::Context context, unsigned long long id) const {
    InContext *entry = newest.load(std::memory_order_acquire);
    while (entry && (entry->context != context || entry->context_id != id)) {
        entry = entry->next;
    }
    return entry;
}

LoadedPackage::InContext &LoadedPackage::in_current_context() {
    const cuda::Context context = current_context();
    const unsigned long long id = id_of(context);
    if (InContext *loaded = find(context, id)) {
        return *loaded;
    }
    const std::lock_guard<std::mutex> lock(mutex);
    if (InContext *loaded = find(context, id)) {
        return *loaded;
    }
    auto entry = std::make_unique<InContext>();
    entry->context = context;
    entry->context_id = id;
    entry->code = load_code(the_package);
    try {
        entry->workspaces = std::make_unique<Workspaces>();
    } catch (...) {
        cuda::driver().module_unload(entry->code.module);
        throw;
    }
    entry->next = newest.load();
    newest.store(entry.get(), std::memory_order_release);
    return *entry.release();
}

void LoadedPackage::load() {
    in_current_context();
}

int LoadedPackage::choose_plan(const InContext &loaded, const TensorArgument *tensors) const {
    if (the_package.plans.size() == 1) {
        return 0;
    }
    int best = -1;
    double best_time = 0;
    for (size_t i = 0; i < the_package.plans.size(); i++) {
        const LaunchPlan &plan = the_package.plans[i];
        if (!plan_problem(the_package, plan, tensors).empty()) {
            continue;
        }
        const double time = estimated_time(plan, tensors, loaded.code.multiprocessors);
        if (best < 0 || time < best_time) {
            best = int(i);
            best_time = time;
        }
    }
    if (best < 0) {
        require_plan(the_package, the_package.plans[0], tensors);
    }
    return best;
}

uint64_t LoadedPackage::workspace_bytes(const TensorArgument *tensors, int num_tensors, int plan) const {
    check_plan_index(the_package, plan);
    check_tensors(the_package, tensors, num_tensors);
    uint64_t bytes = 0;
    for (size_t i = 0; i < the_package.plans.size(); i++) {
        if (plan == -1 || int(i) == plan) {
            bytes = std::max(bytes, lay_out(the_package.plans[i], tensors).plain_bytes);
        }
    }
    return bytes;
}

int LoadedPackage::launch(const TensorArgument *tensors, int num_tensors, const double *scalars, int num_scalars,
                          cuda::Stream stream, const LaunchOptions &options) {
    check_plan_index(the_package, options.plan);
    check_tensors(the_package, tensors, num_tensors);
    check_scalars(the_package, scalars, num_scalars);
    InContext &loaded = in_current_context();
    const int index = options.plan >= 0 ? options.plan : choose_plan(loaded, tensors);
    const LaunchPlan &plan = the_package.plans[index];
    if (options.plan >= 0 || the_package.plans.size() == 1) {
        require_plan(the_package, plan, tensors);
    }

    int64_t grids[max_kernels], blocks = 0;
    for (size_t k = 0; k < plan.kernels.size(); k++) {
        grids[k] = grid_of(the_package, plan.kernels[k], tensors, loaded.code.multiprocessors);
        blocks += grids[k];
    }
    if (blocks == 0) {
        return index;
    }
    LaunchValues values;
    values.tensors = tensors;
    values.scalars = scalars;
    for (size_t i = 0; i < plan.tensor_maps.size(); i++) {
        const TensorMapSpec &spec = plan.tensor_maps[i];
        encode_tensor_map(spec, the_package.buffers[spec.buffer], tensors[spec.buffer], loaded.workspaces->empty_page(),
                          &values.maps[i]);
    }
    std::unique_lock<std::mutex> lock;
    if (!plan.workspaces.empty()) {
        lock = std::unique_lock<std::mutex>(loaded.workspaces->mutex);
        take_workspaces(the_package, plan, *loaded.workspaces, stream, options, values);
    }
    bool launched = false;
    for (size_t k = 0; k < plan.kernels.size(); k++) {
        if (grids[k] > 0) {
            try {
                launch_kernel(the_package, plan.kernels[k], loaded.code.functions[index][k], values, grids[k], stream,
                              launched);
            } catch (...) {
                if (launched) {
                    loaded.workspaces->forget_zeroed();
                }
                throw;
            }
            launched = true;
        }
    }
    return index;
}

}  // namespace strobe
