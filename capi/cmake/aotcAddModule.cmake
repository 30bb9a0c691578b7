# aotc_add_module(<target> <file> [NAME <name>] [PREFIX <prefix>] [OPTIONS <option>...])
#
# Compiles the WebAssembly module in <file>, binary or text, into <target>: an executable, or a static, shared or module
# library of the same directory. Its sources include the header that declares the module:
#
#   plugin.wasm --aotc compile--> plugin.o   linked into the target
#                            \--> plugin.h   on the target's include path
#
# NAME     what the module, its symbol and the header are called; the file's name without endings otherwise
# PREFIX   what the names in the header begin with; the module's name otherwise
# OPTIONS  further options of `aotc compile`; paths in them are absolute
#
# Both are made anew when the module changes, a file that an option names, or the compiler.

# Depfiles name files by absolute paths.
if(POLICY CMP0116)
  cmake_policy(SET CMP0116 NEW)
endif()

function(aotc_add_module target file)
  cmake_parse_arguments(PARSE_ARGV 2 module "" "NAME;PREFIX" "OPTIONS")
  get_filename_component(input "${file}" ABSOLUTE BASE_DIR "${CMAKE_CURRENT_SOURCE_DIR}")
  if(NOT module_NAME)
    get_filename_component(module_NAME "${file}" NAME_WE)
  endif()
  if(NOT module_PREFIX)
    set(module_PREFIX "${module_NAME}")
  endif()
  _aotc_check_arguments()

  set(folder "${CMAKE_CURRENT_BINARY_DIR}/aotc/${target}")
  if(WIN32)
    set(object "${folder}/${module_NAME}.obj")
  else()
    set(object "${folder}/${module_NAME}.o")
  endif()
  set(header "${folder}/${module_NAME}.h")
  file(MAKE_DIRECTORY "${folder}")
  set(depfile "${folder}/${module_NAME}.d")
  # CMake reads depfiles for every generator since 3.20.
  set(dependencies "")
  if(NOT CMAKE_VERSION VERSION_LESS 3.20)
    set(dependencies DEPFILE "${depfile}")
  endif()
  add_custom_command(
    OUTPUT "${object}" "${header}"
    COMMAND "${AOTC_COMMAND}" compile "${input}" --name "${module_NAME}" --symbol-prefix "${module_PREFIX}"
            ${module_OPTIONS} --emit "obj=${object}" --emit "header=${header}" --depfile "${depfile}"
    DEPENDS "${input}" "${AOTC_COMMAND}"
    ${dependencies}
    COMMENT "Compiling the module ${file}"
    VERBATIM)
  set_source_files_properties("${object}" PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
  target_sources("${target}" PRIVATE "${object}" "${header}")
  # What warnings a project has is for its own sources.
  target_include_directories("${target}" SYSTEM PRIVATE "${folder}")
endfunction()

# Stops if what `aotc_add_module` was given, in whose scope it is called, makes no sense.
macro(_aotc_check_arguments)
  if(NOT TARGET "${target}")
    message(FATAL_ERROR "aotc_add_module: there is no target `${target}`")
  endif()
  if(module_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "aotc_add_module: unknown arguments: ${module_UNPARSED_ARGUMENTS}")
  endif()
  if(module_KEYWORDS_MISSING_VALUES)
    message(FATAL_ERROR "aotc_add_module: no value for ${module_KEYWORDS_MISSING_VALUES}")
  endif()
  get_target_property(type "${target}" TYPE)
  if(NOT type MATCHES "^(EXECUTABLE|(STATIC|SHARED|MODULE)_LIBRARY)$")
    message(FATAL_ERROR "aotc_add_module: `${target}` links nothing, it is of type ${type}")
  endif()
  get_target_property(directory "${target}" SOURCE_DIR)
  if(NOT directory STREQUAL CMAKE_CURRENT_SOURCE_DIR)
    message(FATAL_ERROR "aotc_add_module: `${target}` is a target of another directory, ${directory}")
  endif()
  if(NOT module_NAME MATCHES "^[A-Za-z0-9_.-]+$")
    message(FATAL_ERROR "aotc_add_module: `${module_NAME}` cannot be the name of a file")
  endif()
  # A file that another command makes is there later.
  get_source_file_property(generated "${input}" GENERATED)
  if(NOT generated AND NOT EXISTS "${input}")
    message(FATAL_ERROR "aotc_add_module: there is no file ${input}")
  endif()
  if(NOT AOTC_COMMAND)
    message(FATAL_ERROR "aotc_add_module: there is no command `aotc`; set AOTC_COMMAND to its path")
  endif()
endmacro()
