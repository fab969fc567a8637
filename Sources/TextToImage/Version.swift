/// The program's version, as `--version`, provenance and the wire's hello say it.
package let tesseraVersion = "0.1.0"
