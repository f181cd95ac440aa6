#include "LaunchPackage.h"

#include "ReplaceNest.h"
#include "runtime/HalideEntry.h"

#include <cstring>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

constexpr const char *entry_point = "strobe_halide_run_on";

/** The package as data of the compiled code. */
Expr embed(const std::vector<uint8_t> &bytes) {
    Buffer<uint8_t> data(static_cast<int>(bytes.size()), unique_name("strobe_package"));
    std::memcpy(data.data(), bytes.data(), bytes.size());
    const Expr handle = Variable::make(type_of<halide_buffer_t *>(), data.name() + ".buffer", data);
    return Call::make(Handle(), Call::buffer_get_host, {handle}, Call::Extern);
}

/** The address of an array of \p elements on the stack. */
Expr array_of(const std::vector<Expr> &elements) {
    if (elements.empty()) {
        return make_zero(Handle());
    }
    return Call::make(Handle(), Call::make_struct, elements, Call::Intrinsic);
}

/** Drops the checks of what only code on the host needs. */
class DropHostChecks : public IRMutator {
    using IRMutator::visit;

    Stmt visit(const AssertStmt *op) override {
        const Call *error = op->message.as<Call>();
        const bool about_host = error && (error->name == "halide_error_host_is_null" ||
                                          error->name == "halide_error_buffer_allocation_too_large" ||
                                          error->name == "halide_error_buffer_extents_too_large");
        return about_host ? Evaluate::make(0) : Stmt(op);
    }
};

/** The pass that a Pipeline owns. */
class Install : public IRMutator {
    const Stmt launch;

public:
    Install(const Stmt &s)
        : launch(s) {
    }
    Stmt mutate(const Stmt &s) override {
        return DropHostChecks().mutate(replace_nest(s, launch));
    }
};

/** Code that is compiled just in time finds the entry point here, wherever it is linked into. */
void define_for_jit(Pipeline pipeline) {
    const ExternSignature signature(Int(32), false,
                                    {type_of<void *>(), type_of<const halide_device_interface_t *>(),
                                     type_of<const uint8_t *>(), Int(64), type_of<halide_buffer_t **>(), Int(32),
                                     type_of<const double *>(), Int(32)});
    std::map<std::string, JITExtern> externs = pipeline.get_jit_externs();
    externs.erase(entry_point);
    externs.emplace(entry_point, ExternCFunction(reinterpret_cast<void *>(&strobe_halide_run_on), signature));
    pipeline.set_jit_externs(externs);
}

}  // namespace

Stmt launch_package(const KernelPackage &package, bool user_context) {
    const std::vector<uint8_t> bytes = serialize_package(package);
    std::vector<Expr> buffers, scalars;
    for (const BufferSpec &b : package.buffers) {
        buffers.push_back(Variable::make(type_of<halide_buffer_t *>(), b.name + ".buffer"));
    }
    for (const ScalarSpec &s : package.scalars) {
        const Type type(static_cast<halide_type_code_t>(s.type.code), s.type.bits, 1);
        scalars.push_back(cast<double>(Variable::make(type, s.name)));
    }
    const Expr interface =
        Call::make(type_of<const halide_device_interface_t *>(), "halide_cuda_device_interface", {}, Call::Extern);
    const Expr context = user_context ? Variable::make(type_of<void *>(), "__user_context") : make_zero(Handle());
    const Expr call = Call::make(Int(32), entry_point,
                                 {context, interface, embed(bytes), make_const(Int(64), (int64_t)bytes.size()),
                                  array_of(buffers), (int)buffers.size(), array_of(scalars), (int)scalars.size()},
                                 Call::Extern);
    const std::string result = unique_name("launch_result");
    const Expr code = Variable::make(Int(32), result);
    return LetStmt::make(result, call, AssertStmt::make(code == 0, code));
}

void install_package(Pipeline pipeline, const KernelPackage &package, const Target &target) {
    const bool user_context = target.has_feature(Target::UserContext) || target.has_feature(Target::JIT);
    pipeline.clear_custom_lowering_passes();
    pipeline.add_custom_lowering_pass(new Install(launch_package(package, user_context)));
    define_for_jit(pipeline);
}

}  // namespace strobe
