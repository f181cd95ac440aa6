#include "CpuProgram.h"

#include "PackageCache.h"
#include "driver/Compile.h"
#include "support/Error.h"
#include "support/Log.h"

#include <chrono>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** What the compiled code is told of one call; errors come back in it. */
struct CallContext : JITUserContext {
    std::string error;
};

void note_error(JITUserContext *context, const char *message) {
    static_cast<CallContext *>(context)->error = message;
}

halide_buffer_t describe(const HostTensor &tensor, const Type &type, std::vector<halide_dimension_t> &dims) {
    const size_t first = dims.size();
    for (int d = 0; d < tensor.rank; d++) {
        // A stride means nothing where there is one element.
        const int64_t stride = tensor.sizes[d] > 1 ? tensor.strides[d] : (d == 0 ? 1 : 0);
        if (stride > INT32_MAX || stride < INT32_MIN) {
            strobe_user_error() << "a stride of " << stride << " elements; on the CPU legal are " << INT32_MIN << " to "
                                << INT32_MAX;
        }
        dims.push_back({0, int32_t(tensor.sizes[d]), int32_t(stride), 0});
    }
    halide_buffer_t buffer = {};
    // A null pointer would ask for bounds; a tensor without elements may have one.
    static uint8_t nothing[64];
    buffer.host = tensor.data ? static_cast<uint8_t *>(tensor.data) : nothing;
    buffer.type = type;
    buffer.dimensions = tensor.rank;
    buffer.dim = dims.data() + first;
    return buffer;
}

}  // namespace

HostTensor::HostTensor(void *d, const std::vector<int64_t> &s, const std::vector<int64_t> &t)
    : data(d), rank(int(s.size())) {
    strobe_user_assert(s.size() == t.size() && s.size() <= max_text_rank)
        << "a tensor with " << s.size() << " sizes and " << t.size() << " strides; legal are " << max_text_rank << " each";
    std::copy(s.begin(), s.end(), sizes);
    std::copy(t.begin(), t.end(), strides);
}

struct CpuProgram::Code {
    TextAlgorithm algorithm;
    JITModule module;
    JITModule::argv_wrapper function = nullptr;
};

CpuProgram::CpuProgram(const std::string &text, const Schedule &schedule)
    : CpuProgram([&] { return read_algorithm_text(text); }, schedule) {
}

CpuProgram::CpuProgram(const std::function<TextAlgorithm()> &read, const Schedule &schedule)
    : code(std::make_unique<Code>()) {
    const std::lock_guard<std::mutex> lock(compiler_mutex());
    const auto start = std::chrono::steady_clock::now();
    const Target target = get_jit_target_from_environment()
                              .with_feature(Target::JIT)
                              .with_feature(Target::UserContext);
    code->algorithm = read();
    TextAlgorithm &a = code->algorithm;
    try {
        Pipeline pipeline = a.pipeline;
        autoschedule(pipeline, target, schedule);
        std::vector<Argument> args = a.arguments();
        args.insert(args.begin(), Argument("__user_context", Argument::InputScalar, type_of<const void *>(), 0,
                                           ArgumentEstimates{}));
        const std::string name = unique_name(a.name);
        const Module module = pipeline.compile_to_module(args, name, target);
        code->module = JITModule(module, module.get_function_by_name(name));
    } catch (const Halide::Error &e) {
        strobe_user_error() << "In " << a.name << ": " << e.what();
    }
    code->function = code->module.argv_function();
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    strobe_debug(1) << "compiled " << a.name << " for the CPU in " << time.count() << " ms\n";
}

CpuProgram::~CpuProgram() = default;

const TextAlgorithm &CpuProgram::algorithm() const {
    return code->algorithm;
}

void CpuProgram::run(const std::vector<HostTensor> &tensors, const std::vector<double> &scalars,
                     const std::vector<HostTensor> &outputs) const {
    const TextAlgorithm &a = code->algorithm;
    strobe_internal_assert(tensors.size() == a.tensors.size() && outputs.size() == a.outputs.size());
    std::vector<halide_dimension_t> dims;
    dims.reserve(max_text_rank * (tensors.size() + outputs.size()));
    std::vector<halide_buffer_t> buffers;
    buffers.reserve(tensors.size() + outputs.size());
    for (size_t n = 0; n < tensors.size(); n++) {
        const Type &type = a.tensors[n].type;
        buffers.push_back(describe(tensors[n], type.is_bool() ? UInt(8) : type, dims));
    }
    for (size_t n = 0; n < outputs.size(); n++) {
        buffers.push_back(describe(outputs[n], a.outputs[n].type, dims));
    }
    std::vector<halide_scalar_value_t> values(scalars.size());
    for (size_t n = 0; n < scalars.size(); n++) {
        if (a.scalars[n].type.is_float()) {
            values[n].u.f32 = float(scalars[n]);
        } else {
            values[n].u.i32 = int32_t(scalars[n]);
        }
    }

    CallContext context;
    JITHandlers handlers;
    handlers.custom_error = note_error;
    JITSharedRuntime::populate_jit_handlers(&context, handlers);
    const void *user_context = &context;
    std::vector<const void *> argv = {&user_context};
    for (size_t n = 0; n < tensors.size(); n++) {
        argv.push_back(&buffers[n]);
    }
    for (const halide_scalar_value_t &v : values) {
        argv.push_back(&v);
    }
    for (size_t n = 0; n < outputs.size(); n++) {
        argv.push_back(&buffers[tensors.size() + n]);
    }
    if (code->function(argv.data()) != 0 || !context.error.empty()) {
        strobe_user_error() << "In " << a.name << ": " << context.error;
    }
}

}  // namespace strobe
