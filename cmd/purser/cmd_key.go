package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/purser-dev/purser/models"
)

func (p *Program) keyCommand() *cobra.Command {
	var merchant, name string
	var test bool
	create := &cobra.Command{
		Use: "create", Short: "Create an API key and print it as JSON; the key is shown this once only",
		Example: "  purser key create --merchant mer_… --test --name 'storefront, staging'",
	}
	create.Flags().StringVar(&merchant, "merchant", "", "the merchant's id")
	create.Flags().BoolVar(&test, "test", false, "a key for test mode; otherwise for live mode")
	create.Flags().StringVar(&name, "name", "", "what the key is for")
	_ = create.MarkFlagRequired("merchant")
	list := &cobra.Command{Use: "list", Short: "List the API keys of a merchant"}
	list.Flags().StringVar(&merchant, "merchant", "", "the merchant's id")
	_ = list.MarkFlagRequired("merchant")
	revoke := &cobra.Command{Use: "revoke KEY_ID", Short: "Revoke an API key: from now on it is refused", Args: exactly(1, "the id of a key")}

	return group(&cobra.Command{Use: "key", Short: "Manage API keys of merchants"},
		p.tool(create, existing, func(cmd *cobra.Command, _ []string, store *models.Store, _ Settings) error {
			key, secret, err := store.CreateAPIKey(cmd.Context(), models.Scope{MerchantID: merchant, Test: test}, name)
			if err != nil {
				return err
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"id": key.ID, "test": key.Test, "key": secret})
		}),
		p.tool(list, existing, func(cmd *cobra.Command, _ []string, store *models.Store, _ Settings) error {
			keys, err := store.ListAPIKeys(cmd.Context(), merchant)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tMODE\tENDS IN\tCREATED\tREVOKED\tNAME")
			for _, k := range keys {
				mode, revoked := "live", "-"
				if k.Test {
					mode = "test"
				}
				if k.RevokedAt != nil {
					revoked = k.RevokedAt.UTC().Format(time.RFC3339)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, mode, k.Last4, k.CreatedAt.UTC().Format(time.RFC3339), revoked, k.Name)
			}
			return w.Flush()
		}),
		p.tool(revoke, existing, func(cmd *cobra.Command, args []string, store *models.Store, _ Settings) error {
			if err := store.RevokeAPIKey(cmd.Context(), "", args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is revoked\n", args[0])
			return nil
		}),
	)
}
